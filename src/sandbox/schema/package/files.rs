//! The files of the package that say how the org behaves, compiled in. The
//! order of the fields is the order in which a row is printed.

use super::File;

macro_rules! files {
    ($($path:literal,)*) => {
        &[$((
            $path,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/salesforce/", $path)),
        ),)*]
    };
}

/// All of them.
pub(in super::super) const FILES: &[File<'static>] = files![
    "force-app/main/default/objects/Contract_Product__c/Contract_Product__c.object-meta.xml",
    "force-app/main/default/objects/Contract_Product__c/fields/Contract__c.field-meta.xml",
    "force-app/main/default/objects/Contract_Product__c/fields/External_Id__c.field-meta.xml",
    "force-app/main/default/objects/Contract_Product__c/fields/Product_Code__c.field-meta.xml",
    "force-app/main/default/objects/Contract_Product__c/fields/Units__c.field-meta.xml",
    "force-app/main/default/objects/Contract_Product__c/fields/Price__c.field-meta.xml",
    "force-app/main/default/objects/Contract_Product__c/fields/Consumed__c.field-meta.xml",
    "force-app/main/default/objects/Contract_Product__c/fields/Available__c.field-meta.xml",
    "force-app/main/default/objects/Usage__c/Usage__c.object-meta.xml",
    "force-app/main/default/objects/Usage__c/fields/Contract_Product__c.field-meta.xml",
    "force-app/main/default/objects/Usage__c/fields/External_Id__c.field-meta.xml",
    "force-app/main/default/objects/Usage__c/fields/Ad_Id__c.field-meta.xml",
    "force-app/main/default/objects/Usage__c/fields/Quantity__c.field-meta.xml",
    "force-app/main/default/objects/Usage__c/fields/Revision__c.field-meta.xml",
    "force-app/main/default/objects/Usage__c/validationRules/Revision.validationRule-meta.xml",
    "force-app/main/default/objects/Usage__c/validationRules/Locked_When_Fulfilled.validationRule-meta.xml",
    "force-app/main/default/triggers/UsageLock.trigger",
    "force-app/main/default/triggers/UsageLock.trigger-meta.xml",
    "force-app/main/default/permissionsets/Usage_Sync.permissionset-meta.xml",
    "force-app/main/default/permissionsets/Usage_Override.permissionset-meta.xml",
    "force-app/main/default/permissionsets/Usage_Sales.permissionset-meta.xml",
    "contract-status/main/default/standardValueSets/ContractStatus.standardValueSet-meta.xml",
];
