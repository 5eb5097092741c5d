//! The Salesforce package that an admin deploys, as files: complete, and
//! about the same names as the daemon's settings. How the org then behaves is
//! tested with the sandbox, which reads the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

/// Folder, what its files end with, and the type that they hold.
const TYPES: [(&str, &str, &str); 11] = [
    ("classes", ".cls-meta.xml", "ApexClass"),
    (
        "customPermissions",
        ".customPermission-meta.xml",
        "CustomPermission",
    ),
    ("fields", ".field-meta.xml", "CustomField"),
    ("layouts", ".layout-meta.xml", "Layout"),
    ("listViews", ".listView-meta.xml", "ListView"),
    ("objects", ".object-meta.xml", "CustomObject"),
    ("permissionsets", ".permissionset-meta.xml", "PermissionSet"),
    (
        "standardValueSets",
        ".standardValueSet-meta.xml",
        "StandardValueSet",
    ),
    ("tabs", ".tab-meta.xml", "CustomTab"),
    ("triggers", ".trigger-meta.xml", "ApexTrigger"),
    (
        "validationRules",
        ".validationRule-meta.xml",
        "ValidationRule",
    ),
];

/// Types that belong to an object: a manifest names the object.
const PARTS: [&str; 3] = ["CustomField", "ListView", "ValidationRule"];

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("salesforce")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn metadata() -> Vec<PathBuf> {
    ["force-app", "contract-status"]
        .iter()
        .flat_map(|folder| files_below(&package().join(folder)))
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn children<'a>(node: Node<'a, 'a>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children()
        .filter(move |child| child.has_tag_name((NAMESPACE, name)))
}

fn text<'a>(node: Node<'a, 'a>, name: &'a str) -> Option<&'a str> {
    children(node, name).next().and_then(|child| child.text())
}

const NAMESPACE: &str = "http://soap.sforce.com/2006/04/metadata";

/// Type and API name of a file, which its folder and its name tell.
fn described(path: &Path) -> (&'static str, String) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let steps: Vec<&str> = path.iter().map(|step| step.to_str().unwrap()).collect();
    let (folder, suffix, kind) = TYPES
        .into_iter()
        .find(|(_, suffix, _)| name.ends_with(suffix))
        .unwrap_or_else(|| panic!("no type of metadata has a file {}", path.display()));
    // An object's own file stands one folder deeper.
    let parent = steps.len() - if kind == "CustomObject" { 3 } else { 2 };
    assert_eq!(steps[parent], folder, "{}", path.display());
    (kind, name.strip_suffix(suffix).unwrap().to_owned())
}

/// The fields of the package's objects, as `Object.Field`, with their files' text.
fn fields() -> BTreeMap<String, String> {
    metadata()
        .iter()
        .filter(|path| path.to_str().unwrap().ends_with(".field-meta.xml"))
        .map(|path| {
            let (_, name) = described(path);
            let object = path.iter().rev().nth(2).unwrap().to_str().unwrap();
            (format!("{object}.{name}"), read(path))
        })
        .collect()
}

fn manifest(name: &str) -> BTreeSet<(String, String)> {
    let text_of_file = read(&package().join("manifest").join(name));
    let document = Document::parse(&text_of_file).unwrap();
    let mut members = BTreeSet::new();
    for types in children(document.root_element(), "types") {
        let kind = text(types, "name").unwrap();
        for member in children(types, "members") {
            members.insert((kind.to_owned(), member.text().unwrap().to_owned()));
        }
    }
    members
}

#[test]
fn every_file_is_of_the_type_and_name_that_its_place_tells() {
    for path in metadata() {
        let shown = path.display();
        let name = path.to_str().unwrap();
        if path
            .extension()
            .is_some_and(|end| end == "cls" || end == "trigger")
        {
            assert!(Path::new(&format!("{name}-meta.xml")).exists(), "{shown}");
            continue;
        }
        let (kind, api_name) = described(&path);
        let content = read(&path);
        let document = Document::parse(&content).unwrap_or_else(|error| panic!("{shown}: {error}"));

        let root = document.root_element();
        assert!(
            root.has_tag_name((NAMESPACE, kind)),
            "{shown} holds no {kind}"
        );
        if let Some(full_name) = text(root, "fullName") {
            assert_eq!(full_name, api_name, "{shown}");
        }
        if let Some(program) = name.strip_suffix("-meta.xml")
            && ["ApexClass", "ApexTrigger"].contains(&kind)
        {
            assert!(Path::new(program).exists(), "{program} is missing");
            assert_eq!(text(root, "apiVersion"), Some("67.0"), "{shown}");
        }
    }
}

#[test]
fn the_manifest_names_what_is_there() {
    let there: BTreeSet<(String, String)> = metadata()
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "xml"))
        .map(|path| described(path))
        .filter(|(kind, _)| !PARTS.contains(kind))
        .map(|(kind, name)| (kind.to_owned(), name))
        .collect();
    assert_eq!(manifest("package.xml"), there);

    // What goes with its object needs no word, and a list of statuses stays.
    let stays = |(kind, name): &(String, String)| {
        kind == "StandardValueSet" || (kind == "Layout" && !name.starts_with("Contract-"))
    };
    let goes: BTreeSet<_> = there.into_iter().filter(|member| !stays(member)).collect();
    assert_eq!(manifest("remove/destructiveChanges.xml"), goes);
}

#[test]
fn the_settings_that_come_along_fit_the_package() {
    let defaults = include_str!("../../config/default.toml");
    let defaults = config::Config::builder()
        .add_source(config::File::from_str(defaults, config::FileFormat::Toml))
        .build()
        .unwrap();
    let setting =
        |section: &str, key: &str| defaults.get_string(&format!("{section}.{key}")).unwrap();
    let fields = fields();
    let has = |object: &str, field: &str| {
        assert!(
            fields.contains_key(&format!("{object}.{field}")),
            "{object}.{field} is missing"
        );
    };

    let usage = setting("salesforce", "object");
    for key in ["external_id_field", "revision_field"] {
        has(&usage, &setting("salesforce", key));
    }
    let product = setting("contract", "product_object");
    for key in [
        "product_code_field",
        "units_field",
        "price_field",
        "consumed_field",
        "available_field",
    ] {
        has(&product, &setting("contract", key));
    }

    let external_id = &fields[&format!("{usage}.{}", setting("salesforce", "external_id_field"))];
    for flag in ["externalId", "unique", "caseSensitive", "required"] {
        assert!(
            external_id.contains(&format!("<{flag}>true</{flag}>")),
            "{flag}"
        );
    }
    let relationship = setting("contract", "products_relationship");
    let parent = format!("{product}.{}__c", setting("contract", "object"));
    let stem = relationship.strip_suffix("__r").unwrap();
    assert!(fields[&parent].contains(&format!("<relationshipName>{stem}</relationshipName>")));
    let version = format!(
        "\"sourceApiVersion\": \"{}\"",
        setting("salesforce", "api_version")
    );
    assert!(read(&package().join("sfdx-project.json")).contains(&version));

    let status = format!(
        "<fullName>{}</fullName>",
        setting("contract", "locked_status")
    );
    let statuses =
        "contract-status/main/default/standardValueSets/ContractStatus.standardValueSet-meta.xml";
    assert!(read(&package().join(statuses)).contains(&status));
}

/// The words of a text that are names of an org's own: `Usage__c`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.ends_with("__c") && word.len() > 3)
}

#[test]
fn every_name_that_a_person_copies_or_a_layout_shows_is_there() {
    let there: BTreeSet<String> = fields()
        .keys()
        .flat_map(|name| name.split('.'))
        .map(str::to_owned)
        .collect();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<PathBuf> = [
        "README.md",
        "app.json",
        "config/default.toml",
        "salesforce/README.md",
    ]
    .iter()
    .map(|file| repository.join(file))
    .collect();
    texts.extend(files_below(&repository.join("src/demo")));
    texts.extend(metadata());

    let mut found = 0;
    for path in texts {
        for name in names(&read(&path)) {
            assert!(
                there.contains(name),
                "{}: {name} is missing",
                path.display()
            );
            found += 1;
        }
    }
    assert!(found > 100, "{found} names were looked at");
}

#[test]
fn the_integration_user_may_touch_its_fields_and_no_more() {
    let path =
        package().join("force-app/main/default/permissionsets/Usage_Sync.permissionset-meta.xml");
    let content = read(&path);
    let document = Document::parse(&content).unwrap();
    let set = document.root_element();

    let granted: BTreeMap<String, bool> = children(set, "fieldPermissions")
        .map(|permission| {
            assert_eq!(text(permission, "readable"), Some("true"));
            let editable = text(permission, "editable") == Some("true");
            (text(permission, "field").unwrap().to_owned(), editable)
        })
        .collect();
    // Required fields and masters need none, and Salesforce takes none.
    let optional = |text: &str| {
        !text.contains("<required>true</required>") && !text.contains("<type>MasterDetail</type>")
    };
    let wanted: BTreeMap<String, bool> = fields()
        .into_iter()
        .filter(|(_, text)| optional(text))
        .map(|(name, _)| (name.clone(), name.starts_with("Usage__c.")))
        .collect();
    assert_eq!(granted, wanted);

    let mut objects = BTreeMap::new();
    for permission in children(set, "objectPermissions") {
        for overriding in ["modifyAllRecords", "viewAllRecords"] {
            assert_eq!(text(permission, overriding), Some("false"));
        }
        let given = ["allowCreate", "allowRead", "allowEdit", "allowDelete"]
            .map(|flag| text(permission, flag) == Some("true"));
        objects.insert(text(permission, "object").unwrap(), given);
    }
    let read_only = [false, true, false, false];
    let expected = [
        ("Account", read_only),
        ("Contract", read_only),
        ("Contract_Product__c", read_only),
        ("Usage__c", [true; 4]),
    ];
    assert_eq!(objects, BTreeMap::from(expected));
    for forbidden in ["license", "userPermissions", "customPermissions"] {
        assert_eq!(children(set, forbidden).count(), 0, "{forbidden}");
    }
}
