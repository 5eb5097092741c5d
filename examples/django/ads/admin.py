"""The pages of the service team: ads, what became of them, and the contract as it stands."""

from django.conf import settings
from django.contrib import admin, messages
from django.template.defaultfilters import floatformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from . import contracts, sync
from .models import Ad, AdProduct, AdStatus


class SyncStateFilter(admin.SimpleListFilter):
    title = "state in Salesforce"
    parameter_name = "sync"

    def lookups(self, request, model_admin):
        return AdStatus.State.choices

    def queryset(self, request, queryset):
        return queryset.in_sync_state(self.value()) if self.value() else queryset


class AdProductInline(admin.TabularInline):
    model = AdProduct
    extra = 1


@admin.register(Ad)
class AdAdmin(admin.ModelAdmin):
    list_display = ["title", "contract", "sync_state"]
    list_filter = [SyncStateFilter]
    search_fields = ["title", "contract"]
    inlines = [AdProductInline]
    readonly_fields = ["in_salesforce", "live_contract"]
    actions = ["report_again"]

    def get_queryset(self, request):
        return super().get_queryset(request).with_sync_state()

    def get_fields(self, request, obj=None):
        shown = self.readonly_fields if obj else []
        return ["title", "contract", *shown]

    @admin.display(description="Salesforce", ordering="sync_state", empty_value="not seen yet")
    def sync_state(self, ad):
        if ad.sync_state is None:
            return None
        page = reverse("admin:ads_adstatus_change", args=[ad.pk])
        return format_html('<a href="{}">{}</a>', page, AdStatus.State(ad.sync_state).label)

    @admin.display(description="Salesforce")
    def in_salesforce(self, ad):
        return sync.explain(ad.status)

    @admin.display(description="Contract now")
    def live_contract(self, ad):
        contract = contracts.contract(ad.contract)
        if contract is None:
            return "not available"
        products = format_html_join(
            "", "<li>{}: {} of {} available, {} of them on the way to Salesforce</li>",
            (
                (product["name"], *(floatformat(product[key], -6) for key in ("available", "units", "pending")))
                for product in contract["products"]
            ),
        )
        state = "fulfilled: its usage is locked" if contract["locked"] else contract["status"]
        return format_html("{} ({})<ul>{}</ul>", contract["number"], state, products)

    def change_view(self, request, object_id, form_url="", extra_context=None):
        if request.method == "GET":
            self.warn_of_refusal(request, self.get_object(request, object_id))
        return super().change_view(request, object_id, form_url, extra_context)

    def warn_of_refusal(self, request, ad):
        """Whoever opens an ad that Salesforce refused reads why, and what it has instead."""
        status = ad and ad.status
        if not status or status.state != AdStatus.State.REJECTED:
            return
        parts = [sync.explain(status), *sync.differences(ad, status)]
        messages.error(request, format_html_join(format_html("<br>"), "{}", ((part,) for part in parts)))

    @admin.action(description="Report to Salesforce again")
    def report_again(self, request, queryset):
        count = Ad.objects.filter(pk__in=queryset.values("pk")).report_again()
        self.message_user(request, f"Being reported again: {count}.")


@admin.register(AdStatus)
class AdStatusAdmin(admin.ModelAdmin):
    """All that usage-sync has seen, also ads that are gone from the app."""

    list_display = ["__str__", "state", "since", "in_words"]
    list_filter = ["state", "error_code"]
    search_fields = ["=ad_id"]
    fields = ["ad", "state", "since", "in_words", "error_code", "error_message", "in_salesforce"]
    readonly_fields = ["ad", "in_words", "in_salesforce"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description="ad")
    def ad(self, status):
        ad = Ad.objects.filter(pk=status.ad_id).first()
        if ad is None:
            return f"{status.ad_id} (removed)"
        return format_html('<a href="{}">{}</a>', reverse("admin:ads_ad_change", args=[ad.pk]), ad)

    @admin.display(description="in words")
    def in_words(self, status):
        return sync.explain(status)

    @admin.display(description="in Salesforce")
    def in_salesforce(self, status):
        if not status.records:
            return "nothing"
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}: {} {}</li>", map(record, status.records)))


def record(record):
    """A line, its quantity, and the record's id, as a link if we know where Salesforce is."""
    name = record["salesforce_id"]
    if settings.SALESFORCE_URL:
        name = format_html('<a href="{}/{}">{}</a>', settings.SALESFORCE_URL, name, name)
    return record["line"], sync.amount(record["fields"].get("Quantity__c")), name
