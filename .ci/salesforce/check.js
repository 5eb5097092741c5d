// Checks the Salesforce package in the folder that is given, with the libraries
// that Salesforce's command line consists of. Prints what is wrong, a line
// each, and fails; or says what was checked.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { XMLParser, XMLValidator } = require('fast-xml-parser');
const { ApiSchemas } = require('@jsforce/jsforce-node/lib/api/metadata/schema.js');
const { ComponentSet, MetadataConverter } = require('@salesforce/source-deploy-retrieve');
const apex = require('@apexdevtools/apex-parser');

const root = process.argv[2];
const folders = ['force-app', 'contract-status'].map((folder) => path.join(root, folder));
const files = folders.flatMap((folder) =>
    fs.readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.join(entry.parentPath, entry.name)));
const faults = [];
const fault = (file, text) => faults.push(`${file}: ${text}`);

/** The properties of a type with those that it inherits. */
function properties(type) {
    const schema = ApiSchemas[type];
    return { ...(schema.extends ? properties(schema.extends) : {}), ...schema.props };
}

/** Compares an element with the type that the Metadata API gives it. */
function checkElement(file, type, element) {
    const known = properties(type);
    for (const [name, values] of Object.entries(element)) {
        if (name.startsWith('@')) continue;
        if (!(name in known)) {
            fault(file, `<${name}> is no part of ${type}`);
            continue;
        }
        const many = Array.isArray(known[name]);
        if (!many && values.length > 1) fault(file, `<${name}> stands in ${type} more than once`);
        const wanted = (many ? known[name][0] : known[name]).replace(/^\?/, '');
        for (const value of values) checkValue(file, name, wanted, value);
    }
    for (const [name, wanted] of Object.entries(known)) {
        const optional = Array.isArray(wanted) || wanted.startsWith('?');
        if (!optional && !(name in element)) fault(file, `<${name}> is missing in ${type}`);
    }
}

function checkValue(file, name, wanted, value) {
    if (wanted in ApiSchemas) {
        // An empty element is an object without properties.
        checkElement(file, wanted, value === '' ? {} : value);
    } else if (typeof value !== 'string') {
        fault(file, `<${name}> holds elements and should be a ${wanted}`);
    } else if (wanted === 'boolean' && !['true', 'false'].includes(value)) {
        fault(file, `<${name}> is ${value} and should be true or false`);
    } else if (wanted === 'number' && !/^-?\d+(\.\d+)?$/.test(value)) {
        fault(file, `<${name}> is ${value} and should be a number`);
    }
}

function checkDocuments() {
    const parser = new XMLParser({
        alwaysCreateTextNode: false, ignoreAttributes: true, ignoreDeclaration: true, parseTagValue: false,
        isArray: (_name, _path, _leaf, isAttribute) => !isAttribute,
    });
    for (const file of files.filter((name) => name.endsWith('.xml'))) {
        const text = fs.readFileSync(file, 'utf8');
        const formed = XMLValidator.validate(text);
        if (formed !== true) {
            fault(file, `${formed.err.msg} (line ${formed.err.line})`);
            continue;
        }
        const [[type, [element]], ...others] = Object.entries(parser.parse(text));
        if (others.length || !(type in ApiSchemas)) fault(file, `<${type}> is no type of metadata`);
        else checkElement(file, type, element);
    }
}

/** Whatever the libraries take for something else is left out without a word. */
async function checkConversion() {
    const taken = new Set();
    const set = ComponentSet.fromSource(folders.map((folder) => path.resolve(folder)));
    const components = set.getSourceComponents().toArray();
    for (const component of components) {
        for (const part of [component, ...component.getChildren()]) {
            if (part.xml) taken.add(part.xml);
            for (const content of part.walkContent()) taken.add(content);
        }
    }
    for (const file of files) {
        if (!taken.has(path.resolve(file))) fault(file, 'Salesforce would not deploy it');
    }

    const output = fs.mkdtempSync(path.join(os.tmpdir(), 'salesforce-'));
    try {
        const options = { type: 'directory', outputDirectory: output, genUniqueDir: false };
        await new MetadataConverter().convert(components, 'metadata', options);
        const made = members(path.join(output, 'package.xml'));
        const manifest = path.join(root, 'manifest', 'package.xml');
        const written = members(manifest);
        for (const member of made) if (!written.has(member)) fault(manifest, `${member} is missing`);
        for (const member of written) if (!made.has(member)) fault(manifest, `${member} is not there`);
    } finally {
        fs.rmSync(output, { recursive: true });
    }
    return components.length;
}

/** What a manifest names; what an object consists of goes with the object. */
function members(file) {
    const lists = ['types', 'members'];
    const parser = new XMLParser({ parseTagValue: false, isArray: (name) => lists.includes(name) });
    const parts = ['CustomField', 'ListView', 'ValidationRule'];
    return new Set(parser.parse(fs.readFileSync(file, 'utf8')).Package.types
        .filter((type) => !parts.includes(type.name))
        .flatMap((type) => (type.members ?? []).map((member) => `${type.name} ${member}`)));
}

function checkApex() {
    const programs = files.filter((name) => /\.(cls|trigger)$/.test(name));
    for (const file of programs) {
        const source = fs.readFileSync(file, 'utf8');
        try {
            const listener = apex.ThrowingErrorListener.INSTANCE;
            const { parser } = apex.ApexParserFactory.createLexerAndParser(source, listener);
            if (file.endsWith('.trigger')) parser.triggerUnit();
            else parser.compilationUnit();
        } catch (error) {
            fault(file, `line ${error.line}: Apex cannot be parsed from here on`);
        }
    }
    return programs.length;
}

async function main() {
    checkDocuments();
    // What is no XML cannot be converted either.
    const components = faults.length ? 0 : await checkConversion();
    const programs = checkApex();
    faults.forEach((text) => console.error(text));
    if (faults.length) process.exit(1);
    console.log(`salesforce: ${files.length} files, ${components} components, ${programs} programs in Apex: nothing wrong`);
}

main().catch((error) => {
    console.error(error.message);
    process.exit(1);
});
