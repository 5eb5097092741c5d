//! What the org's admin calls things.

use super::soql;
use crate::settings;

/// The object and its fields; checked, so they may stand in SOQL.
pub(super) struct Names {
    pub(super) object: String,
    pub(super) external_id: String,
    pub(super) revision: Option<String>,
}

impl Names {
    /// Answers the variable whose value is no API name, if there is one.
    pub(super) fn new(settings: &settings::Salesforce) -> Result<Self, &'static str> {
        let revision = settings.revision_field.as_deref();
        for (variable, name) in [
            ("SALESFORCE_OBJECT", Some(settings.object.as_str())),
            (
                "SALESFORCE_EXTERNAL_ID_FIELD",
                Some(settings.external_id_field.as_str()),
            ),
            ("SALESFORCE_REVISION_FIELD", revision),
        ] {
            if name.is_some_and(|name| !soql::is_name(name) || name.contains('.')) {
                return Err(variable);
            }
        }
        Ok(Self {
            object: settings.object.clone(),
            external_id: settings.external_id_field.clone(),
            revision: revision.map(str::to_owned),
        })
    }
}
