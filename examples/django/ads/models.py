"""What the service app keeps: ads, and the products of a contract that they use.

Nothing here knows of Salesforce but for its ids. Saving an ad is all that the
app does; that it is reported is the business of the view and the triggers of
migration 0002.
"""

import json
from decimal import Decimal

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Cast

salesforce_id = RegexValidator(
    r"^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$", "An id of Salesforce has 15 or 18 letters and digits."
)


class AdQuerySet(models.QuerySet):
    def with_sync_state(self):
        """Each ad with `sync_state`, null for one that usage-sync has not seen."""
        status = AdStatus.objects.filter(ad_id=Cast(OuterRef("pk"), models.TextField()))
        return self.annotate(sync_state=Subquery(status.values("state")))

    def in_sync_state(self, state):
        """The ads in a state. Few are pending or rejected, and are found by an index."""
        ads = AdStatus.objects.filter(state=state).annotate(ad=Cast("ad_id", models.BigIntegerField()))
        return self.filter(pk__in=ads.values("ad"))

    def report_again(self):
        """Has usage-sync look at these ads now; changes nothing about them.

        Any change of a watched row does, so no right in the schema usage_sync
        is needed for it.
        """
        return self.update(title=F("title"))


class Ad(models.Model):
    title = models.CharField(max_length=200)
    contract = models.CharField(
        max_length=18, validators=[salesforce_id], help_text="The contract's id in Salesforce."
    )

    objects = AdQuerySet.as_manager()

    def __str__(self):
        return self.title

    @property
    def status(self):
        """What became of it in Salesforce; None as long as usage-sync has not seen it."""
        return AdStatus.objects.filter(pk=str(self.pk)).first()


class AdProduct(models.Model):
    ad = models.ForeignKey(Ad, models.CASCADE, related_name="products")
    product = models.CharField(max_length=80, help_text="The product's code, such as small.")
    contract_product = models.CharField(
        max_length=18, validators=[salesforce_id], help_text="The id of the contract's product in Salesforce."
    )
    quantity = models.DecimalField(max_digits=18, decimal_places=4)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ad", "product"], name="ad_product_once"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="ad_product_quantity_positive"),
        ]

    def __str__(self):
        return self.product


class ExactDecoder(json.JSONDecoder):
    """Quantities keep their digits."""

    def __init__(self, **options):
        super().__init__(parse_float=Decimal, **options)


class AdStatus(models.Model):
    """What became of an ad, as usage-sync shows it. It is a view: read only.

    It also has the ads that are gone from the app, since Salesforce may refuse
    a removal. Its key is text, whatever type the app's ids have, so there is no
    foreign key. Whoever adds one says on_delete=DO_NOTHING: with CASCADE every
    removal of an ad would try to delete from the view, and fail.
    """

    class State(models.TextChoices):
        PENDING = "pending", "on its way"
        REPORTED = "reported", "reported"
        REJECTED = "rejected", "refused"

    ad_id = models.TextField("ad", primary_key=True)
    state = models.TextField(choices=State)
    since = models.DateTimeField()
    changed_at = models.DateTimeField()
    reported_at = models.DateTimeField(null=True)
    attempts = models.IntegerField()
    error_code = models.TextField(null=True)
    error_message = models.TextField(null=True)
    records = models.JSONField(decoder=ExactDecoder)
    # The error in words, and line by line what was refused.
    reason = models.TextField(null=True)
    refused = models.JSONField(decoder=ExactDecoder)

    class Meta:
        managed = False
        db_table = '"usage_sync"."ad_status"'
        default_permissions = ["view"]
        verbose_name = "report"
        verbose_name_plural = "reports to Salesforce"

    def __str__(self):
        return f"ad {self.ad_id}"
