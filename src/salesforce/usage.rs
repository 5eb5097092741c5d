//! How many of the org's daily calls are used.

/// The org's calls of the last 24 hours, as the newest answer told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiUsage {
    /// Calls of all programs together. A paid org may overshoot its allowance.
    pub used: u64,
    /// Calls that the org is entitled to.
    pub allowed: u64,
}

impl ApiUsage {
    /// Calls left; none when the allowance is overshot.
    pub fn left(&self) -> u64 {
        self.allowed.saturating_sub(self.used)
    }

    /// Reads `Sforce-Limit-Info`, such as
    /// `api-usage=25/5000; per-app-api-usage=17/250(appName=sample)`
    /// (REST API Developer Guide, "Limit Info Header").
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (used, allowed) = header
            .split(';')
            .find_map(|part| part.trim().strip_prefix("api-usage="))?
            .split_once('/')?;
        Some(Self {
            used: used.trim().parse().ok()?,
            allowed: allowed.trim().parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_headers_are_read() {
        for (header, used, allowed, left) in [
            ("api-usage=18/5000", 18, 5000, 4982),
            (
                "api-usage=25/5000; per-app-api-usage=17/250(appName=sample-connected-app)",
                25,
                5000,
                4975,
            ),
            (
                "api-bursts=1/750; api-usage=10018/100000",
                10_018,
                100_000,
                89_982,
            ),
            ("api-usage=15007/15000", 15_007, 15_000, 0),
        ] {
            let usage = ApiUsage::parse(header).unwrap();
            assert_eq!(usage, ApiUsage { used, allowed }, "{header}");
            assert_eq!(usage.left(), left, "{header}");
        }
    }

    #[test]
    fn what_is_no_usage_is_left_alone() {
        for header in [
            "",
            "api-usage",
            "api-usage=1",
            "api-usage=x/1",
            "per-app-api-usage=17/250",
        ] {
            assert_eq!(ApiUsage::parse(header), None, "{header}");
        }
    }
}
