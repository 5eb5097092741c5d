-- What an administrator does once: two roles that trust each other with
-- nothing. The app owns its database, usage-sync may make a schema in it.
create role service_app login;
create role usage_sync login;
alter database app owner to service_app;
grant create on database app to usage_sync;
