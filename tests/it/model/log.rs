//! What a daemon's log must be like: a trouble is said when it begins and when
//! it is over.

/// What begins a pause of reporting, and what ends it.
const PAUSES: [(&str, &str); 3] = [
    ("salesforce is down", "salesforce is back"),
    (
        "the org's daily calls are used up",
        "the org has calls again",
    ),
    (
        "salesforce refuses every report",
        "salesforce takes reports again",
    ),
];
/// Several loops of a daemon may each say these.
const WAITS: [(&str, &str); 3] = [
    ("waiting for redis:", "redis answers again"),
    ("waiting for postgres:", "postgres answers again"),
    (
        "waiting for postgres listener:",
        "postgres listener answers again",
    ),
];

/// What began and is not over.
pub(super) fn open_troubles(log: &str) -> Vec<&'static str> {
    let mut open = Vec::new();
    let mut pause = None;
    for line in log.lines() {
        for (begin, end) in PAUSES {
            if line.contains(begin) {
                // One cause may give way to another; one end is enough.
                pause = Some(begin);
            } else if line.contains(end) {
                pause = None;
            }
        }
    }
    open.extend(pause);
    for (begin, end) in WAITS {
        let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        if count(begin) > count(end) {
            open.push(begin);
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_open_until_its_end_is_said() {
        let began = "level=warn message=\"salesforce is down: reporting pauses\"\n\
                     level=warn message=\"waiting for redis: nothing is lost\"\n";
        let over = "level=info message=\"salesforce is back: reporting goes on\"\n\
                    level=info message=\"redis answers again\"\n";

        assert_eq!(
            open_troubles(began),
            ["salesforce is down", "waiting for redis:"]
        );
        assert!(open_troubles(&format!("{began}{over}")).is_empty());
        assert_eq!(open_troubles(&format!("{began}{over}{began}")).len(), 2);
    }
}
