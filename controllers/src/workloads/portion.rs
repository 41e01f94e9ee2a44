//! A number, or a percentage of another: `maxSurge`, `maxUnavailable`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Which way a percentage that is no whole number goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Towards more.
    Up,
    /// Towards less.
    Down,
}

/// What `portion` of `whole` is. What is neither a number nor a percentage is nothing: validation let none in.
pub(crate) fn of(portion: &IntOrString, whole: i32, round: Round) -> i32 {
    let percent = match portion {
        IntOrString::Int(number) => return (*number).max(0),
        IntOrString::String(text) => text.strip_suffix('%').and_then(|number| number.parse::<u32>().ok()),
    };
    let hundredfold = i64::from(percent.unwrap_or(0)) * i64::from(whole.max(0));
    let part = match round {
        Round::Up => (hundredfold + 99) / 100,
        Round::Down => hundredfold / 100,
    };
    i32::try_from(part).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_percentages() {
        let text = |text: &str| IntOrString::String(text.to_owned());
        let rows = [
            (IntOrString::Int(2), 10, 2, 2),
            (text("25%"), 10, 3, 2),
            (text("25%"), 4, 1, 1),
            (text("25%"), 1, 1, 0),
            (text("0%"), 9, 0, 0),
            (text("100%"), 7, 7, 7),
            (text("150%"), 3, 5, 4),
            (text("50%"), 0, 0, 0),
        ];
        for (portion, whole, up, down) in rows {
            assert_eq!(
                (of(&portion, whole, Round::Up), of(&portion, whole, Round::Down)),
                (up, down),
                "{portion:?} of {whole}"
            );
        }
    }
}
