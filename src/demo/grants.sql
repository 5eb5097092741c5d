select usage_sync.grant_setup('service_app');
select usage_sync.grant_status('service_app');
