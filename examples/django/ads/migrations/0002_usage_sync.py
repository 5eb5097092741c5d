"""Says what is reported to Salesforce, and has changes of it captured.

The schema usage_sync has to be there: `usage-sync migrate` creates it. From
here on whatever changes the two tables is captured, by whatever way: save,
bulk_create, update, raw SQL, TRUNCATE.
"""

from django.core.management.base import CommandError
from django.db import migrations, models

import ads.models

# A row for each product that an ad uses. This is the whole mapping: fields are
# Salesforce's names. The daemon's role, the owner of the schema, may read it.
REPORT = """
create view usage_sync.usage as
select
    ad.id as ad_id,
    ad_product.product as line,
    ad.contract,
    jsonb_build_object(
        'Contract_Product__c', ad_product.contract_product,
        'Ad_Id__c', ad.id::text,
        'Quantity__c', ad_product.quantity
    ) as fields
from ads_ad as ad
join ads_adproduct as ad_product on ad_product.ad_id = ad.id;

do $$ begin
    execute format('grant select on usage_sync.usage to %s',
        (select nspowner::regrole from pg_namespace where nspname = 'usage_sync'));
end $$;

-- Both tables that the view reads.
select usage_sync.watch('ads_ad', 'id');
select usage_sync.watch('ads_adproduct', 'ad_id');
"""

REPORT_NOTHING = """
select usage_sync.unwatch('ads_adproduct');
select usage_sync.unwatch('ads_ad');
drop view usage_sync.usage;
"""


def insist_on_the_schema(apps, editor):
    with editor.connection.cursor() as cursor:
        cursor.execute("select to_regprocedure('usage_sync.watch(regclass, name)') is null")
        (missing,) = cursor.fetchone()
    if missing:
        raise CommandError(
            "The schema usage_sync is not in this database. Run `usage-sync migrate` with the same "
            "DATABASE_URL first, then this migration again; it has changed nothing."
        )


class Migration(migrations.Migration):
    dependencies = [("ads", "0001_initial")]

    operations = [
        migrations.RunPython(insist_on_the_schema, migrations.RunPython.noop),
        migrations.RunSQL(REPORT, REPORT_NOTHING),
        # The view of usage-sync itself, which Django only reads.
        migrations.CreateModel(
            name="AdStatus",
            fields=[
                ("ad_id", models.TextField(primary_key=True, serialize=False, verbose_name="ad")),
                (
                    "state",
                    models.TextField(
                        choices=[("pending", "on its way"), ("reported", "reported"), ("rejected", "refused")]
                    ),
                ),
                ("since", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
                ("reported_at", models.DateTimeField(null=True)),
                ("attempts", models.IntegerField()),
                ("error_code", models.TextField(null=True)),
                ("error_message", models.TextField(null=True)),
                ("records", models.JSONField(decoder=ads.models.ExactDecoder)),
                ("reason", models.TextField(null=True)),
                ("refused", models.JSONField(decoder=ads.models.ExactDecoder)),
            ],
            options={
                "verbose_name": "report",
                "verbose_name_plural": "reports to Salesforce",
                "db_table": '"usage_sync"."ad_status"',
                "managed": False,
                "default_permissions": ["view"],
            },
        ),
    ]
