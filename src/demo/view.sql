create view usage_sync.usage as
select ad.id as ad_id,
    product as line,
    contract,
    jsonb_build_object(
        'Contract_Product__c', salesforce_product,
        'Ad_Id__c', ad.id::text,
        'Quantity__c', quantity
    ) as fields
from ad
join ad_product on ad_product.ad_id = ad.id
join contract_product using (contract, product);

select usage_sync.watch('ad', 'id');
select usage_sync.watch('ad_product', 'ad_id');
grant select on usage_sync.usage to usage_sync;
