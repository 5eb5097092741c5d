create table ad (
    id bigint primary key,
    contract text not null,
    headline text not null
);
create table ad_product (
    ad_id bigint not null references ad on delete cascade,
    product text not null,
    quantity numeric not null check (quantity > 0),
    primary key (ad_id, product)
);
create table contract_product (
    contract text not null,
    product text not null,
    salesforce_product text not null,
    primary key (contract, product)
);
