//! The service app of `examples/django`, with a real Django: whatever it
//! writes arrives, its people see what became of it, and nothing of ours makes
//! it fail or wait.

mod readme;
mod shop;

use std::path::{Path, PathBuf};

use usage_sync::sandbox::{Effect, Plan};

use crate::support::{PATIENCE, wait_until};
use crate::web::{Gateway, TOKEN};
use shop::Shop;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the app is.
fn app() -> PathBuf {
    repository().join("examples/django")
}

/// An ad of 3 small on the first contract, made in the admin.
const MAKE: &str = "
browser = admin()
answer = browser.post('/admin/ads/ad/add/',
    form('Summer sale', contracts[0], ('small', products[0], 3, None)))
assert answer.status_code == 302, words(answer)
ad = Ad.objects.get()
small = ad.products.get()
str(ad.pk)";

/// It becomes 5 small and 1 large, in the admin.
const CORRECT: &str = "
answer = browser.post(f'/admin/ads/ad/{ad.pk}/change/', form('Summer sale', contracts[0],
    ('small', products[0], 5, small), ('large', products[0], 1, None)))
assert answer.status_code == 302, words(answer)";

const LIST: &str = "words(browser.get('/admin/ads/ad/'))";
const PAGE: &str = "words(browser.get(f'/admin/ads/ad/{ad.pk}/change/'))";

#[tokio::test]
async fn an_ad_that_is_made_corrected_and_removed_in_the_admin_is_so_in_salesforce() {
    let Some(mut shop) = Shop::open().await else {
        return;
    };
    let ad = shop.read(MAKE).await;
    assert!(shop.read(LIST).await.contains("not seen yet"));
    let _daemon = shop.world.daemon();

    shop.world.ad_is(&ad, "reported").await;
    shop.world.in_step().await;
    assert_eq!(shop.world.consumed(0), Some(3.0));
    let list = shop.read(LIST).await;
    assert!(list.contains("Summer sale"), "{list}");
    assert!(list.contains(" reported "), "{list}");
    let page = shop.read(PAGE).await;
    assert!(page.contains("Salesforce has it."), "{page}");
    assert!(page.contains("Contract now: not available"), "{page}");

    shop.run(CORRECT).await;
    shop.world.in_step().await;
    assert_eq!(shop.world.consumed(0), Some(6.0));

    shop.run("answer = browser.post(f'/admin/ads/ad/{ad.pk}/delete/', {'post': 'yes'})")
        .await;
    shop.world.in_step().await;
    assert_eq!(shop.run("Ad.objects.count()").await, 0);
    assert_eq!(shop.world.held().await, []);
}

#[tokio::test]
async fn the_contract_stands_live_next_to_the_ad_with_what_is_on_its_way() {
    let Some(mut shop) = Shop::open().await else {
        return;
    };
    let gateway = Gateway::of(&shop.world).await;
    let settings = format!(
        "from django.conf import settings\nfrom ads import contracts as live\nlive.TIMEOUT = 60\n\
         settings.USAGE_SYNC_GATEWAY_URL = 'http://{}'\n\
         settings.USAGE_SYNC_GATEWAY_TOKEN = '{TOKEN}'",
        gateway.address
    );
    shop.run(&settings).await;
    shop.read(MAKE).await;

    let page = shop.read(PAGE).await;
    let on_the_way = "(Activated) product 0: 1000000 of 1000000 available, 3 of them on the way";
    assert!(page.contains(on_the_way), "{page}");

    let _daemon = shop.world.daemon();
    shop.world.in_step().await;
    let page = shop.read(PAGE).await;
    let told = "product 0: 999997 of 1000000 available, 0 of them on the way";
    assert!(page.contains(told), "{page}");

    shop.world.set_contract(0, "Fulfilled");
    let page = shop.read(PAGE).await;
    let locked = "(fulfilled: its usage is locked)";
    assert!(page.contains(locked), "{page}");

    shop.world
        .sandbox
        .fault(Plan::always(Effect::HtmlPage { status: 503 }));
    let page = shop.read(PAGE).await;
    assert!(page.contains("Contract now: not available"), "{page}");
}

#[tokio::test]
async fn a_correction_that_salesforce_refuses_is_told_in_words_until_it_goes_through() {
    let Some(mut shop) = Shop::open().await else {
        return;
    };
    let _daemon = shop.world.daemon();
    let ad = shop.read(MAKE).await;
    shop.world.in_step().await;
    let before = shop.world.held().await;
    shop.world.set_contract(0, "Fulfilled");

    shop.run(CORRECT).await;
    shop.world.ad_is(&ad, "rejected").await;

    assert_eq!(shop.world.held().await, before);
    let page = shop.read(PAGE).await;
    let contract = &shop.world.products[0].0;
    for sentence in [
        &format!("Refused. Contract {contract} is fulfilled: its usage is locked."),
        "large: 1 here, none in Salesforce",
        "small: 5 here, 3 in Salesforce",
    ] {
        assert!(page.contains(sentence), "{sentence}: {page}");
    }
    let refused = "words(browser.get('/admin/ads/ad/?sync=rejected'))";
    assert!(shop.read(refused).await.contains("Summer sale"));
    let reported = "words(browser.get('/admin/ads/ad/?sync=reported'))";
    assert!(!shop.read(reported).await.contains("Summer sale"));

    shop.world.set_contract(0, "Activated");
    let again = "words(browser.post('/admin/ads/ad/', \
        {'action': 'report_again', '_selected_action': [ad.pk]}, follow=True))";
    let said = shop.read(again).await;
    assert!(said.contains("Being reported again: 1."), "{said}");
    shop.world.ad_is(&ad, "reported").await;
    shop.world.in_step().await;
    let page = shop.read(PAGE).await;
    assert!(!page.contains("Refused"), "{page}");
    assert_eq!(shop.world.consumed(0), Some(6.0));
}

#[tokio::test]
async fn an_ad_that_is_gone_while_salesforce_keeps_its_record_is_still_to_be_seen() {
    let Some(mut shop) = Shop::open().await else {
        return;
    };
    let _daemon = shop.world.daemon();
    let ad = shop.read(MAKE).await;
    shop.world.in_step().await;
    shop.world.set_contract(0, "Fulfilled");

    shop.run("ad.delete()").await;
    shop.world.ad_is(&ad, "rejected").await;

    let list = shop
        .read("words(browser.get('/admin/ads/adstatus/'))")
        .await;
    assert!(list.contains(&format!("ad {ad} refused")), "{list}");
    let page = format!("words(browser.get('/admin/ads/adstatus/{ad}/change/'))");
    let page = shop.read(&page).await;
    assert!(page.contains(&format!("{ad} (removed)")), "{page}");
    assert!(page.contains("small: 3 a01"), "{page}");
}

#[tokio::test]
async fn nothing_that_django_writes_past_its_signals_is_missed() {
    let Some(mut shop) = Shop::open().await else {
        return;
    };
    let _daemon = shop.world.daemon();

    shop.run(
        "
ads = Ad.objects.bulk_create(Ad(title=f'ad {n}', contract=contracts[n % 2]) for n in range(300))
AdProduct.objects.bulk_create(
    AdProduct(ad=ad, product=product, contract_product=products[n % 2], quantity=2)
    for n, ad in enumerate(ads) for product in ['small', 'large'])",
    )
    .await;
    shop.world.in_step().await;
    assert_eq!(shop.world.held().await.len(), 600);

    shop.run("AdProduct.objects.filter(product='small').update(quantity=F('quantity') + 0.5)")
        .await;
    shop.world.in_step().await;
    assert_eq!(shop.world.consumed(0), Some(675.0));

    shop.run("Ad.objects.filter(pk__in=[ad.pk for ad in ads[100:]]).delete()")
        .await;
    shop.world.in_step().await;
    assert_eq!(shop.world.held().await.len(), 200);

    shop.run(
        "
with connection.cursor() as cursor:
    cursor.execute('update ads_adproduct set quantity = quantity * 2 where product = %s', ['large'])",
    )
    .await;
    shop.world.in_step().await;
    assert_eq!(shop.world.consumed(1), Some(325.0));

    shop.run(
        "
class Regret(Exception): pass
try:
    with transaction.atomic():
        Ad.objects.all().delete()
        raise Regret
except Regret:
    pass",
    )
    .await;
    assert_eq!(shop.world.pending().await, 0);

    shop.run("connection.cursor().execute('truncate ads_ad, ads_adproduct')")
        .await;
    shop.world.in_step().await;
    assert_eq!(shop.world.held().await, []);
}

/// Ads are made, corrected and removed, in transactions of several statements
/// and without; the database ends whatever takes it more than two seconds.
const TRADE: &str = "
for n in range(20):
    with transaction.atomic():
        ad = Ad.objects.create(title=f'trade {n}', contract=contracts[0])
        ad.products.create(product='small', contract_product=products[0], quantity=1)
    for shared in Ad.objects.filter(title='shared'):
        shared.products.update(quantity=F('quantity') + 1)
        shared.save()
    if n % 3 == 0:
        ad.delete()";

#[tokio::test]
async fn djangos_transactions_neither_fail_nor_wait_whatever_is_down_or_frozen() {
    let Some(mut shop) = Shop::open().await else {
        return;
    };
    shop.run(
        "
for _ in range(5):
    ad = Ad.objects.create(title='shared', contract=contracts[0])
    ad.products.create(product='small', contract_product=products[0], quantity=1)",
    )
    .await;

    shop.run(TRADE).await;
    let daemon = shop.world.daemon();
    shop.world.in_step().await;
    shop.run(TRADE).await;
    shop.world.redis.kill().await.expect("redis is killed");
    shop.run(TRADE).await;
    shop.world.redis.restart().await.expect("redis comes back");
    shop.world.in_step().await;

    // With the shared ads in hand, and Salesforce asked.
    shop.world.sandbox.fault(Plan {
        times: Some(1),
        ..Plan::always(Effect::Hang)
    });
    shop.run("Ad.objects.filter(title='shared').report_again()")
        .await;
    shop.run("AdProduct.objects.filter(ad__title='shared').update(quantity=9)")
        .await;
    wait_until("the request", PATIENCE, async || {
        shop.world.sandbox.stats().in_flight > 0
    })
    .await;
    daemon.freeze();
    shop.run(TRADE).await;
    daemon.kill_9();
    shop.run(TRADE).await;

    let _next = shop.world.daemon();
    shop.world.in_step().await;
}

#[tokio::test]
async fn the_migration_asks_for_the_schema_fits_the_models_and_can_be_undone() {
    let Some(shop) = Shop::before_its_migration().await else {
        return;
    };
    shop.world
        .app("alter schema usage_sync rename to elsewhere")
        .await;
    let refused = shop.manage(&["migrate", "ads"]).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("Run `usage-sync migrate`"), "{said}");
    shop.world
        .app("alter schema elsewhere rename to usage_sync")
        .await;

    for (arguments, done) in [
        (&["migrate", "ads"][..], "ads.0002_usage_sync... OK"),
        (&["makemigrations", "--check"], "No changes detected"),
        (&["check"], "no issues"),
        (&["migrate", "ads", "zero"], "ads.0001_initial... OK"),
        (&["migrate", "ads"], "ads.0002_usage_sync... OK"),
    ] {
        let output = shop.manage(arguments).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(done), "{arguments:?}: {output:?}");
    }
    let watched: i64 = sqlx::query_scalar(
        "select count(distinct tgrelid) from pg_trigger where tgfoid = 'usage_sync.capture'::regproc",
    )
    .fetch_one(&shop.world.pool)
    .await
    .unwrap();
    assert_eq!(watched, 2);
}

#[tokio::test]
async fn the_apps_own_tests_pass_in_a_database_that_has_the_schema() {
    let Some(shop) = Shop::before_its_migration().await else {
        return;
    };
    // Its tests' database is a copy of this one, which nobody may be using.
    shop.world.pool.close().await;

    let tests = shop.manage(&["test", "--verbosity", "1"]).await;

    let said = String::from_utf8_lossy(&tests.stderr);
    assert!(tests.status.success(), "{said}");
    assert!(said.contains("OK"), "{said}");
}
