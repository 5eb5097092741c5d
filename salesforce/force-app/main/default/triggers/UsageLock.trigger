/**
 * Keeps the usage of a fulfilled contract as it is where no validation rule
 * sees it: a record that leaves it, by a delete or for another contract, and
 * one that comes back from the recycle bin. All else is refused by the
 * validation rule Locked_When_Fulfilled, in the same words.
 */
trigger UsageLock on Usage__c (before update, before delete, after undelete) {
    if (FeatureManagement.checkPermission('Usage_Override')) {
        return;
    }

    // The product that each record leaves or comes back to.
    Map<Id, Id> productByUsage = new Map<Id, Id>();
    for (Usage__c usage : Trigger.isUndelete ? Trigger.new : Trigger.old) {
        Boolean stays = Trigger.isUpdate
            && Trigger.newMap.get(usage.Id).Contract_Product__c == usage.Contract_Product__c;
        if (!stays) {
            productByUsage.put(usage.Id, usage.Contract_Product__c);
        }
    }
    if (productByUsage.isEmpty()) {
        return;
    }

    Map<Id, Contract_Product__c> locked = new Map<Id, Contract_Product__c>([
        SELECT Id
        FROM Contract_Product__c
        WHERE Id IN :productByUsage.values() AND Contract__r.Status = 'Fulfilled'
    ]);
    for (Usage__c usage : Trigger.isDelete ? Trigger.old : Trigger.new) {
        if (locked.containsKey(productByUsage.get(usage.Id))) {
            usage.addError('Contract is fulfilled; usage is locked.');
        }
    }
}
