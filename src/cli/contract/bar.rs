//! How much of a product is used, at a glance.

use usage_sync::contracts::{Amount, Product};

/// Characters of a bar.
const WIDTH: usize = 20;

/// Of all units sold, a share each, 1.0 for all of them.
pub(super) struct Bar {
    consumed: f64,
    pending: f64,
}

impl Bar {
    pub(super) fn of(product: &Product) -> Self {
        let about = |amount: &Option<Amount>| amount.as_ref().map_or(0.0, Amount::approximate);
        let units = about(&product.units);
        let share = |amount: f64| match (amount > 0.0, units > 0.0) {
            (true, true) => amount / units,
            // Something used of nothing sold.
            (true, false) => f64::INFINITY,
            (false, _) => 0.0,
        };
        Self {
            consumed: share(about(&product.consumed)),
            pending: share(product.pending.approximate()),
        }
    }

    /// Consumed, then pending, then what is left, and how much is taken in all.
    pub(super) fn shown(&self, color: bool) -> String {
        let taken = self.consumed + self.pending;
        let (full, end) = (cells(self.consumed), cells(taken));
        let bar = "█".repeat(full) + &"▒".repeat(end - full) + &"░".repeat(WIDTH - end);
        let percent = if taken.is_finite() {
            format!("{:.0} %", taken * 100.0)
        } else {
            "overbooked".to_owned()
        };
        let (on, off) = match (color, taken) {
            (false, _) => ("", ""),
            (true, taken) if taken > 1.0 => ("\u{1b}[31m", "\u{1b}[0m"),
            (true, taken) if taken >= 0.8 => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, _) => ("\u{1b}[32m", "\u{1b}[0m"),
        };
        format!("{on}{bar}{off} {percent}")
    }
}

/// A little is never nothing, and not all is never full.
fn cells(share: f64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the width of a bar is a small number"
    )]
    let cells = (share * WIDTH as f64).clamp(0.0, WIDTH as f64);
    let cells = if share < 1.0 { cells.floor() } else { cells };
    let least = f64::from(u8::from(share > 0.0));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between nothing and the width"
    )]
    let cells = cells.max(least) as usize;
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(consumed: f64, pending: f64) -> String {
        Bar { consumed, pending }.shown(false)
    }

    #[test]
    fn a_bar_shows_what_is_used_what_is_pending_and_what_is_left() {
        assert_eq!(shown(0.5, 0.25), "██████████▒▒▒▒▒░░░░░ 75 %");
        assert_eq!(shown(0.0, 0.0), "░░░░░░░░░░░░░░░░░░░░ 0 %");
        assert_eq!(shown(0.001, 0.0), "█░░░░░░░░░░░░░░░░░░░ 0 %");
        assert_eq!(shown(0.999, 0.0), "███████████████████░ 100 %");
        assert_eq!(shown(1.0, 0.0), "████████████████████ 100 %");
        assert_eq!(shown(0.9, 0.6), "██████████████████▒▒ 150 %");
        assert_eq!(shown(f64::INFINITY, 0.0), "████████████████████ overbooked");
    }

    #[test]
    fn colours_come_only_when_they_may() {
        let bar = |consumed| Bar {
            consumed,
            pending: 0.0,
        };

        for (share, color) in [
            (0.1, "\u{1b}[32m"),
            (0.8, "\u{1b}[33m"),
            (1.1, "\u{1b}[31m"),
        ] {
            assert!(bar(share).shown(true).starts_with(color));
            assert!(!bar(share).shown(false).contains('\u{1b}'));
        }
    }
}
