//! Small pictures: columns over time, and a bar of parts. Plain SVG with
//! attributes, since the page's policy permits no inline style.

use maud::{Markup, html};

/// Height of the columns, in the units of the picture.
const HEIGHT: f64 = 60.0;

/// Columns over time, the newest last. `label` tells it to whoever does not see
/// it, `from` and `to` stand at the ends of the axis.
pub(super) fn columns(values: &[u64], label: &str, from: &str, to: &str) -> Markup {
    let most = values.iter().copied().max().unwrap_or_default();
    let width = values.len() * 4;
    html! {
        svg class="columns" role="img" aria-label=(label)
            viewBox={ "0 0 " (width) " 62" } preserveAspectRatio="none" {
            rect class="axis" x="0" y="61" width=(width) height="1" {}
            @for (place, value) in values.iter().enumerate() {
                @let height = height(*value, most);
                @if *value > 0 {
                    rect x=(place * 4) y=(two_digits(HEIGHT - height)) width="3" height=(two_digits(height)) {}
                }
            }
        }
        div class="ends quiet" aria-hidden="true" { span { (from) } span { (to) } }
    }
}

/// A bar of parts of a whole: `(class, share of the whole)`, one behind the other.
/// What does not fit is cut off at the end.
pub(super) fn bar(parts: &[(&str, f64)], label: &str) -> Markup {
    let laid = parts.iter().scan(0.0, |end, (class, share)| {
        let start = *end;
        // What is there is seen.
        let least = if *share > 0.0 { 0.5 } else { 0.0 };
        let width = (share * 100.0).max(least).min(100.0 - start);
        *end += width;
        Some((*class, two_digits(start), two_digits(width)))
    });
    html! {
        svg class="bar" role="img" aria-label=(label) viewBox="0 0 100 6" preserveAspectRatio="none" {
            rect class="rest" x="0" y="0" width="100" height="6" {}
            @for (class, start, width) in laid {
                rect class=(class) x=(start) y="0" width=(width) height="6" {}
            }
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a picture has far fewer digits than a double"
)]
fn height(value: u64, most: u64) -> f64 {
    if value == 0 {
        return 0.0;
    }
    // What is there is seen.
    (value as f64 / most as f64 * HEIGHT).max(1.0)
}

fn two_digits(number: f64) -> String {
    format!("{number:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_fills_the_picture_and_the_smallest_is_seen() {
        let svg = columns(&[0, 1, 1000], "label", "then", "now").into_string();

        assert_eq!(svg.matches("<rect").count(), 3, "the axis and two columns");
        assert!(
            svg.contains("x=\"4\" y=\"59.00\" width=\"3\" height=\"1.00\""),
            "{svg}"
        );
        assert!(
            svg.contains("x=\"8\" y=\"0.00\" width=\"3\" height=\"60.00\""),
            "{svg}"
        );
    }

    #[test]
    fn no_bar_is_longer_than_the_whole() {
        let svg = bar(&[("consumed", 0.75), ("pending", 0.5), ("more", 1.0)], "l").into_string();

        assert!(
            svg.contains("class=\"consumed\" x=\"0.00\" y=\"0\" width=\"75.00\""),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"pending\" x=\"75.00\" y=\"0\" width=\"25.00\""),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"more\" x=\"100.00\" y=\"0\" width=\"0.00\""),
            "{svg}"
        );
    }
}
