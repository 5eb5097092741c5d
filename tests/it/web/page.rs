//! The ops page as a browser without scripts sees it: who gets in, what is
//! shown, and what an order does. A client of its own keeps the cookie.

use reqwest::{Method, StatusCode, redirect::Policy};

use super::{Answer, Gateway, TOKEN};
use crate::support::{PATIENCE, World, wait_until};

/// A browser: follows nothing by itself, keeps one cookie.
pub(super) struct Browser<'a> {
    gateway: &'a Gateway,
    http: reqwest::Client,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn at(gateway: &'a Gateway) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none());
        Self {
            gateway,
            http: http.build().expect("a client"),
            cookie: None,
        }
    }

    /// Logged in with the token.
    pub(super) async fn in_session(gateway: &'a Gateway) -> Self {
        let mut browser = Self::at(gateway);
        let answer = browser.send("/login", &[("token", TOKEN)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        browser.keep(&answer);
        browser
    }

    fn keep(&mut self, answer: &Answer) {
        let cookie = answer.header("set-cookie");
        self.cookie = cookie.split(';').next().map(str::to_owned);
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.gateway.address);
        let request = self.http.request(method, url);
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    pub(super) async fn open(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// Opens it until it holds this. What the page tells of daemons, of the queue
    /// and of Salesforce is what the daemons said last in Redis, and nothing while
    /// that takes longer than a person waits.
    pub(super) async fn opened_with(&self, path: &str, text: &str) -> Answer {
        let mut page = self.open(path).await;
        wait_until(&format!("{text:?} on {path}"), PATIENCE, async || {
            let is_there = page.text.contains(text);
            if !is_there {
                page = self.open(path).await;
            }
            is_there
        })
        .await;
        page
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        Answer::to(self.request(Method::POST, path).form(fields)).await
    }

    /// Sends the form of a page whose action and button are these.
    pub(super) async fn press(&self, page: &Answer, action: &str, button: &str) -> Answer {
        let form = page
            .text
            .split("<form ")
            .find(|form| form.contains(&format!("action=\"{action}\"")) && form.contains(button))
            .unwrap_or_else(|| panic!("no form {action} with {button}: {}", page.text));
        let form = form.split("</form>").next().expect("its end");
        let fields: Vec<(String, String)> = form
            .split("<input type=\"hidden\" name=\"")
            .skip(1)
            .map(|input| {
                let (name, rest) = input.split_once('"').expect("a name");
                let value = rest
                    .split("value=\"")
                    .nth(1)
                    .and_then(|v| v.split('"').next());
                (name.to_owned(), unescaped(value.expect("a value")))
            })
            .collect();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        self.send(action, &fields).await
    }
}

pub(super) fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

const PAGES: [&str; 6] = [
    "/",
    "/rejected",
    "/ad/1",
    "/contract/1",
    "/search?q=1",
    "/ad/a%2Fb",
];

#[tokio::test]
async fn nobody_sees_a_page_without_a_login() {
    let (world, _daemon) = World::reporting().await;
    let gateway = Gateway::of(&world).await;
    let stranger = Browser::at(&gateway);

    for path in PAGES {
        let answer = stranger.open(path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(answer.header("location").starts_with("/login"), "{path}");
        let forged = stranger
            .request(Method::GET, path)
            .header("cookie", "usage_sync_session=9.9.9");
        assert_eq!(
            Answer::to(forged).await.status,
            StatusCode::SEE_OTHER,
            "{path}"
        );
        // The gateway's own credentials are no way in for a browser.
        let bearer = stranger.request(Method::GET, path).bearer_auth(TOKEN);
        assert_eq!(
            Answer::to(bearer).await.status,
            StatusCode::SEE_OTHER,
            "{path}"
        );
        let wrong = stranger
            .request(Method::GET, path)
            .basic_auth("ops", Some("wrong"));
        let wrong = Answer::to(wrong).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(
            wrong.header("www-authenticate").starts_with("Basic "),
            "{path}"
        );
    }
    for action in ["/retry", "/pause", "/resume", "/logout"] {
        let answer = stranger.send(action, &[("what", "all")]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{action}");
        assert_eq!(answer.header("location"), "/login");
    }
    let answer = stranger.send("/login", &[("token", "not the token")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(
        answer.text.contains("That is not the token"),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("set-cookie"), "");
    for path in ["/ops.css", "/ops.js", "/ops.svg", "/login"] {
        assert_eq!(stranger.open(path).await.status, StatusCode::OK, "{path}");
    }
    let basic = stranger
        .request(Method::GET, "/")
        .basic_auth("ops", Some(TOKEN));
    assert_eq!(Answer::to(basic).await.status, StatusCode::OK);
    assert!(!gateway.process.log().contains("sesame"));
}

#[tokio::test]
async fn a_login_leads_to_where_somebody_wanted_to_go_and_holds_until_logout() {
    let (world, _daemon) = World::reporting().await;
    let gateway = Gateway::of(&world).await;
    let mut browser = Browser::at(&gateway);
    let sent_away = browser.open("/ad/1?before=7").await;
    assert_eq!(
        sent_away.header("location"),
        "/login?next=%2Fad%2F1%3Fbefore%3D7"
    );

    let form = browser.open(sent_away.header("location")).await;
    assert!(
        form.text.contains("name=\"next\" value=\"/ad/1?before=7\""),
        "{}",
        form.text
    );
    let answer = browser
        .send("/login", &[("token", TOKEN), ("next", "/ad/1?before=7")])
        .await;

    assert_eq!(answer.header("location"), "/ad/1?before=7");
    let cookie = answer.header("set-cookie");
    for part in [
        "; Path=/",
        "; HttpOnly",
        "; SameSite=Strict",
        "; Max-Age=43200",
    ] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    assert!(
        !cookie.contains("Secure") && !cookie.contains("sesame"),
        "{cookie}"
    );
    browser.keep(&answer);
    let page = browser.open("/").await;
    assert_eq!(page.status, StatusCode::OK);
    let out = browser.press(&page, "/logout", "Log out").await;
    assert!(out.header("set-cookie").contains("; Max-Age=0"), "{out:?}");

    let elsewhere = browser
        .send("/login", &[("token", TOKEN), ("next", "//evil.example")])
        .await;
    assert_eq!(elsewhere.header("location"), "/");
    let tls = browser
        .request(Method::POST, "/login")
        .header("x-forwarded-proto", "https");
    let tls = Answer::to(tls.form(&[("token", TOKEN)])).await;
    assert!(tls.header("set-cookie").ends_with("; Secure"), "{tls:?}");
}

#[tokio::test]
async fn an_order_from_elsewhere_is_refused() {
    let (world, _daemon) = World::reporting().await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;
    let other = Browser::in_session(&gateway).await;
    let mark = |page: &Answer| {
        let mark = page
            .text
            .split("name=\"mark\" value=\"")
            .nth(1)
            .expect("a mark");
        mark.split('"').next().expect("its end").to_owned()
    };
    let own = mark(&browser.open("/").await);
    let others = mark(&other.open("/").await);

    for fields in [vec![], vec![("mark", "")], vec![("mark", others.as_str())]] {
        let answer = browser.send("/pause", &fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
    }
    let out = browser.send("/logout", &[("mark", &others)]).await;
    assert_eq!(out.status, StatusCode::FORBIDDEN, "nobody is logged out");
    for site in ["cross-site", "same-site"] {
        let answer = browser
            .request(Method::POST, "/pause")
            .header("sec-fetch-site", site);
        let answer = Answer::to(answer.form(&[("mark", &own)])).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{site}");
        let login = browser
            .request(Method::POST, "/login")
            .header("sec-fetch-site", site);
        let login = Answer::to(login.form(&[("token", TOKEN)])).await;
        assert_eq!(login.status, StatusCode::FORBIDDEN, "{site}");
    }
    // Basic is sent along by a browser without being asked.
    let basic = browser
        .http
        .post(format!("http://{}/pause", gateway.address));
    let basic = Answer::to(basic.basic_auth("ops", Some(TOKEN)).form(&[("mark", &own)])).await;
    assert_eq!(basic.status, StatusCode::FORBIDDEN);
    let status = gateway.get("/status").await.json();
    assert_eq!(status["paused"], false, "nothing was done");

    let taken = browser
        .request(Method::POST, "/pause")
        .header("sec-fetch-site", "same-origin");
    let taken =
        Answer::to(taken.form(&[("mark", own.as_str()), ("because", "a <b>reason</b>")])).await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER);
    let status = gateway.get("/status").await.json();
    assert_eq!(status["paused_because"], "a <b>reason</b>");
    let page = browser.opened_with("/", "Reporting is paused").await.text;
    assert!(
        page.contains("a &lt;b&gt;reason&lt;/b&gt;"),
        "escaped: {page}"
    );

    let elsewhere = [("mark", own.as_str()), ("back", "//evil.example/")];
    let resumed = browser.send("/resume", &elsewhere).await;
    assert_eq!(resumed.header("location"), "/?done=resumed");
    assert_eq!(gateway.get("/status").await.json()["paused"], false);
}

#[tokio::test]
async fn a_person_finds_what_is_stuck_and_tries_it_again() {
    let (world, _daemon) = World::reporting().await;
    world
        .app("insert into ad_product values (2, 'small', 0, 2), (3, 'small', 0, 3)")
        .await;
    world.in_step().await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;
    let page = browser
        .opened_with("/", "<h1>Everything is reported</h1>")
        .await
        .text;
    assert!(page.contains("No ad is rejected."), "{page}");
    world.set_contract(0, "Fulfilled");
    world
        .app("update ad_product set quantity = quantity + 0.50")
        .await;
    for ad in ["1", "2", "3"] {
        world.ad_is(ad, "rejected").await;
    }

    let page = browser.opened_with("/", "but for 3 rejected ads").await;
    assert!(
        page.text.contains("is fulfilled: its usage is locked"),
        "{}",
        page.text
    );
    let cause = page
        .text
        .split("<a href=\"/rejected?")
        .nth(1)
        .expect("a cause");
    let cause = unescaped(cause.split('"').next().expect("its end"));
    let behind = browser.open(&format!("/rejected?{cause}")).await;
    for ad in ["1", "2", "3"] {
        assert!(
            behind.text.contains(&format!("<a href=\"/ad/{ad}\">")),
            "{}",
            behind.text
        );
    }
    let ad = browser.open("/ad/1").await;
    for text in [
        "rejected",
        "1.50",
        "Held by Salesforce",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    ] {
        assert!(ad.text.contains(text), "{text}: {}", ad.text);
    }

    world.set_contract(0, "Activated");
    let done = browser.press(&ad, "/retry", "Retry ad 1").await;
    assert_eq!(done.header("location"), "/ad/1?done=retried&count=1");
    world.ad_is("1", "reported").await;
    let told = browser.open(done.header("location")).await.text;
    assert!(told.contains("1 ad will be reported again"), "{told}");
    let done = browser
        .press(&page, "/retry", "Retry all of this cause")
        .await;
    assert_eq!(done.header("location"), "/?done=retried&count=2");
    world.in_step().await;
    browser
        .opened_with("/", "<h1>Everything is reported</h1>")
        .await;
    let done = browser
        .press(&page, "/retry", "Retry all rejected ads")
        .await;
    assert_eq!(done.header("location"), "/?done=retried", "none is left");

    let page = browser.open("/").await;
    let found = browser.open("/search?q=1:small").await;
    assert!(
        found.text.contains("/ad/1") || found.header("location") == "/ad/1",
        "{found:?}"
    );
    let nothing = browser.open("/search?q=nowhere").await;
    assert!(
        nothing.text.contains("Nothing of this name"),
        "{}",
        nothing.text
    );
    assert_eq!(
        browser.open("/ad/nobody").await.status,
        StatusCode::NOT_FOUND
    );
    assert!(
        page.text.contains("taken by Salesforce in the last hour"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn what_others_wrote_is_shown_as_text() {
    let world = World::new(0).await;
    let evil = "<script>alert(1)</script>\"'&";
    sqlx::query(
        "insert into usage_sync.ad (ad_id, state, changed_at, error_code, error_message) \
         values ($1, 'rejected', now(), 'CODE', $1)",
    )
    .bind(evil)
    .execute(&world.pool)
    .await
    .expect("an ad");
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    let page = browser.open("/").await;
    let link = page
        .text
        .split("<a href=\"/ad/")
        .nth(1)
        .expect("the ad")
        .split('"')
        .next()
        .expect("its end");
    for path in [
        String::from("/"),
        String::from("/rejected"),
        format!("/ad/{link}"),
        format!("/search?q={link}"),
        // Nothing is found, and what was looked for is said.
        format!("/search?q={link}x"),
        format!("/contract/{link}"),
    ] {
        let page = browser.open(&path).await;
        assert!(
            !page.text.contains("<script>alert"),
            "{path}: {}",
            page.text
        );
        assert!(
            !page.text.contains("style=\"") && !page.text.contains("onclick"),
            "{path}"
        );
    }
    assert!(
        browser
            .open(&format!("/ad/{link}"))
            .await
            .text
            .contains("&lt;script&gt;")
    );
    let done = browser
        .press(&page, "/retry", "Retry all of this cause")
        .await;
    assert_eq!(done.header("location"), "/?done=retried&count=1");
}

#[tokio::test]
async fn many_rejected_ads_come_page_by_page() {
    let world = World::new(0).await;
    world
        .app(
            "insert into usage_sync.ad (ad_id, state, changed_at, error_code, error_message) \
             select n::text, 'rejected', now(), 'CODE', 'no' from generate_series(1, 250) n",
        )
        .await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    let mut path = String::from("/rejected?code=CODE&rule=no");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let page = browser.open(&path).await.text;
        let ads = page
            .split("<a href=\"/ad/")
            .skip(1)
            .filter_map(|ad| ad.split('"').next());
        let before = seen.len();
        seen.extend(ads.map(str::to_owned));
        assert!(seen.len() - before <= 100);
        match page.split("rel=\"next\" href=\"").nth(1) {
            Some(next) => path = unescaped(next.split('"').next().expect("its end")),
            None => break,
        }
    }

    assert_eq!(seen.len(), 250);
}

#[tokio::test]
async fn many_causes_come_page_by_page() {
    let world = World::new(0).await;
    world
        .app(
            "insert into usage_sync.ad (ad_id, state, changed_at, error_code, error_message) \
             select n::text, 'rejected', now(), 'CODE', 'not in the list: ' || repeat('x', n) \
             from generate_series(1, 250) n",
        )
        .await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    let (mut path, mut seen) = (String::from("/rejected"), 0);
    for _ in 0..3 {
        let page = browser.open(&path).await.text;
        let causes = page.matches("Retry all of this cause").count();
        assert!(causes <= 100, "{causes}");
        seen += causes;
        match page.split("rel=\"next\" href=\"").nth(1) {
            Some(next) => path = unescaped(next.split('"').next().expect("its end")),
            None => break,
        }
    }

    assert_eq!(seen, 250);
    let behind = browser.open("/rejected?from=9999").await.text;
    assert!(!behind.contains("No ad is rejected"), "{behind}");
}

#[tokio::test]
async fn a_page_that_cannot_know_of_changes_does_not_say_that_all_are_reported() {
    let (world, _daemon) = World::reporting().await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;

    world
        .app("select usage_sync.unwatch('ad'); select usage_sync.unwatch('ad_product')")
        .await;

    let page = browser
        .opened_with("/", "Changes of the app are missed")
        .await;
    assert!(!page.text.contains("Everything is reported"), "{page:?}");
    assert!(page.text.contains("usage-sync backfill"), "{page:?}");
}

#[tokio::test]
async fn the_page_says_what_is_down_and_what_to_do() {
    let (mut world, daemon) = World::reporting().await;
    let gateway = Gateway::of(&world).await;
    let browser = Browser::in_session(&gateway).await;
    drop(daemon);
    world.redis.kill().await.expect("it dies");

    let page = browser.open("/").await.text;
    assert!(
        page.contains("Redis does not answer: changes wait, nothing is lost"),
        "{page}"
    );
    assert!(page.contains("correct REDIS_URL"), "{page}");
    world.redis.restart_empty().await.expect("it is back");
    let page = browser.opened_with("/", "No daemon is running").await.text;
    assert!(page.contains("heroku ps:scale worker=1"), "{page}");
    world.database.server.kill().await.expect("it dies");
    let page = browser.open("/").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        page.text.contains("The app&#39;s database does not answer")
            || page.text.contains("The app's database does not answer"),
        "{}",
        page.text
    );
}
