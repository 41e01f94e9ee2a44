//! Label selectors: requirements that all must hold, in string form and in object form.
//!
//! Semantics of `k8s.io/apimachinery/pkg/labels`: an absent label satisfies `!=`, `notin` and `!`, nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use super::{SelectorError, parse};
use crate::{Cause, FieldError, names};

/// What a label must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// One of these.
    In(BTreeSet<String>),
    /// Absent, or none of these.
    NotIn(BTreeSet<String>),
    /// There.
    Exists,
    /// Absent.
    DoesNotExist,
    /// A whole number above this.
    Above(i64),
    /// A whole number below this.
    Below(i64),
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What it must be.
    pub operator: Operator,
}

/// Requirements that all must hold; none means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Reads the string form: `a in (b,c),!d,e!=f,g`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let selector = Self { requirements: parse::requirements(text)? };
        selector.requirements.iter().try_for_each(check_names)?;
        Ok(selector)
    }

    /// Reads the object form, `matchLabels` and `matchExpressions`; `path` is where it stands.
    pub fn from_object(path: &str, selector: &Value) -> Result<Self, Vec<FieldError>> {
        let mut requirements = Vec::new();
        let mut errors = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let values = BTreeSet::from([value.as_str().unwrap_or_default().to_owned()]);
            let requirement = Requirement { key: key.clone(), operator: Operator::In(values) };
            check(&format!("{path}.matchLabels"), &requirement, &mut errors);
            requirements.push(requirement);
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for (n, expression) in expressions.into_iter().flatten().enumerate() {
            let path = format!("{path}.matchExpressions[{n}]");
            match Requirement::from_object(&path, expression, false) {
                Ok(requirement) => {
                    check(&format!("{path}.key"), &requirement, &mut errors);
                    requirements.push(requirement);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { requirements }) } else { Err(errors) }
    }

    /// Whether it selects an object with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl Requirement {
    /// Whether the labels satisfy it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.holds(labels.get(&self.key).map(String::as_str))
    }

    /// Whether a value (`None`: absent) satisfies it.
    pub(crate) fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|v| values.contains(v)),
            Operator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Above(bound) => number().is_some_and(|n| n > *bound),
            Operator::Below(bound) => number().is_some_and(|n| n < *bound),
        }
    }

    /// Reads `{key, operator, values}`; `Gt` and `Lt` only where `numbers` allows them (node selectors).
    pub(crate) fn from_object(path: &str, expression: &Value, numbers: bool) -> Result<Self, FieldError> {
        let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
        let values: BTreeSet<String> = expression
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect();
        let some = |make: fn(BTreeSet<String>) -> Operator| match values.is_empty() {
            true => Err(FieldError::new(
                format!("{path}.values"),
                Cause::Required,
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            false => Ok(make(values.clone())),
        };
        let none = |operator: Operator| match values.is_empty() {
            true => Ok(operator),
            false => Err(FieldError::new(
                format!("{path}.values"),
                Cause::Forbidden,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
        };
        let bound = |make: fn(i64) -> Operator| match values.first().and_then(|v| v.parse().ok()) {
            Some(bound) if values.len() == 1 => Ok(make(bound)),
            _ => Err(FieldError::new(
                format!("{path}.values"),
                Cause::Required,
                "must be one whole number when `operator` is 'Lt' or 'Gt'",
            )),
        };
        let operator = match text("operator") {
            "In" => some(Operator::In),
            "NotIn" => some(Operator::NotIn),
            "Exists" => none(Operator::Exists),
            "DoesNotExist" => none(Operator::DoesNotExist),
            "Gt" if numbers => bound(Operator::Above),
            "Lt" if numbers => bound(Operator::Below),
            _ => {
                let field = format!("{path}.operator");
                let value = expression.get("operator").cloned().unwrap_or_default();
                Err(FieldError::invalid(field, &value, "not a valid selector operator"))
            }
        }?;
        Ok(Self { key: text("key").to_owned(), operator })
    }
}

fn check_names(requirement: &Requirement) -> Result<(), SelectorError> {
    let mut errors = Vec::new();
    check("", requirement, &mut errors);
    match errors.first() {
        Some(error) => Err(SelectorError(format!("{}: {}", error.value, error.detail))),
        None => Ok(()),
    }
}

fn check(path: &str, requirement: &Requirement, errors: &mut Vec<FieldError>) {
    let key = Value::from(requirement.key.as_str());
    errors.extend(names::label_key(&requirement.key).map(|problem| FieldError::invalid(path, &key, problem)));
    if let Operator::In(values) | Operator::NotIn(values) = &requirement.operator {
        for value in values {
            let problem = names::label_value(value);
            let value = Value::from(value.as_str());
            errors.extend(problem.map(|problem| FieldError::invalid(path, &value, problem)));
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, requirement) in self.requirements.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let set = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", set(values)),
            Operator::In(values) => write!(f, "{key} in ({})", set(values)),
            Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", set(values)),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", set(values)),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Above(bound) => write!(f, "{key}>{bound}"),
            Operator::Below(bound) => write!(f, "{key}<{bound}"),
        }
    }
}
