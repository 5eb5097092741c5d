"""Ads, and the products of a contract that they use."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

SALESFORCE_ID = django.core.validators.RegexValidator(
    "^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$", "An id of Salesforce has 15 or 18 letters and digits."
)


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="Ad",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("title", models.CharField(max_length=200)),
                (
                    "contract",
                    models.CharField(
                        help_text="The contract's id in Salesforce.", max_length=18, validators=[SALESFORCE_ID]
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AdProduct",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("product", models.CharField(help_text="The product's code, such as small.", max_length=80)),
                (
                    "contract_product",
                    models.CharField(
                        help_text="The id of the contract's product in Salesforce.",
                        max_length=18,
                        validators=[SALESFORCE_ID],
                    ),
                ),
                ("quantity", models.DecimalField(decimal_places=4, max_digits=18)),
                (
                    "ad",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="products", to="ads.ad"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("ad", "product"), name="ad_product_once"),
                    models.CheckConstraint(
                        condition=models.Q(("quantity__gt", 0)), name="ad_product_quantity_positive"
                    ),
                ],
            },
        ),
    ]
