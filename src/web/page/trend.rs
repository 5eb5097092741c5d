//! The last hour and the last day in pictures, records from the journal, lag and
//! calls from what the daemons leave in Redis with each metric line.

use maud::{Markup, html};

use super::{
    chart,
    rates::{DAY, HOUR},
    words::{counted, grouped, lasting},
};
use crate::{ledger, web::Web};

/// What was reported, how late, and with how many calls.
pub(super) async fn charts(web: &Web) -> Result<Markup, ledger::Error> {
    let hour = web.rates.hour(&web.pool).await?;
    let day = web.rates.day(&web.pool).await?;
    let samples = web.redis.samples().await;
    let spans = [
        (hour, &HOUR, "last hour", "a minute", "1 hour ago"),
        (day, &DAY, "last day", "a quarter of an hour", "1 day ago"),
    ];
    Ok(html! {
        div class="charts" {
            @for (rate, span, name, every, from) in &spans {
                (records(rate.as_deref(), every, name, from))
                (lags(&span.lags(&samples), name, from))
                (calls(&span.calls(&samples), name, from))
            }
        }
    })
}

fn lags(lags: &[u64], span: &str, from: &str) -> Markup {
    #[allow(
        clippy::cast_precision_loss,
        reason = "seconds of a lag are far below 2^52"
    )]
    let most = lasting(lags.iter().copied().max().unwrap_or_default() as f64);
    let label = format!("Lag in the {span}: at most {most}");
    html! {
        figure {
            figcaption { "Lag of the " (span) ": " strong { "at most " (most) } }
            (chart::columns(lags, &label, from, "now"))
        }
    }
}

fn calls(calls: &[u64], span: &str, from: &str) -> Markup {
    let total = counted(calls.iter().sum(), "API call");
    let label = format!("{total} in the {span}");
    html! {
        figure {
            figcaption { "API calls of the " (span) ": " strong { (grouped(calls.iter().sum())) } }
            (chart::columns(calls, &label, from, "now"))
        }
    }
}

fn records(rate: Option<&[u64]>, every: &str, span: &str, from: &str) -> Markup {
    let Some(rate) = rate else {
        return html! {
            figure {
                figcaption { "Records of the " (span) }
                p class="quiet" { "The journal of this time is too large to draw." }
            }
        };
    };
    let total: u64 = rate.iter().sum();
    let most = rate.iter().copied().max().unwrap_or_default();
    let label = format!(
        "{} taken by Salesforce in the {span}, at most {} {every}",
        counted(total, "record"),
        grouped(most)
    );
    html! {
        figure {
            figcaption {
                "Records of the " (span) ": " strong { (grouped(total)) }
                span class="quiet" { ", at most " (grouped(most)) " " (every) }
            }
            (chart::columns(rate, &label, from, "now"))
        }
    }
}
