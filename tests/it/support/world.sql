-- The service app: ads, the products that they use, and the contracts that
-- those are booked on.
create table contract_product (id integer primary key, contract text not null, salesforce_id text not null);
create table ad (id bigint primary key, title text);
create table ad_product (
    ad_id bigint not null,
    product text not null,
    contract_product integer not null,
    quantity numeric,
    primary key (ad_id, product)
);
create view usage_sync.usage as
select
    ad_product.ad_id,
    ad_product.product as line,
    contract_product.contract,
    jsonb_build_object(
        'Contract_Product__c', contract_product.salesforce_id,
        'Ad_Id__c', ad_product.ad_id::text,
        'Quantity__c', ad_product.quantity
    ) as fields
from ad_product
join contract_product on contract_product.id = ad_product.contract_product;
select usage_sync.watch('ad', 'id');
select usage_sync.watch('ad_product', 'ad_id');
