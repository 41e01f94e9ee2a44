//! The string form of label selectors: tokens, then requirements.
//!
//! ```text
//! selector    = [ requirement { "," requirement } ]
//! requirement = "!" key | key | key ("=" | "==" | "!=") [ value ] | key (">" | "<") number
//!             | key ("in" | "notin") "(" [ value ] { "," [ value ] } ")"
//! ```

use std::collections::BTreeSet;

use super::{Operator, Requirement, SelectorError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Sign(&'static str),
}

const SIGNS: [&str; 9] = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"];

/// Reads the whole text.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { text, tokens: tokens(text), at: 0 };
    let mut requirements = Vec::new();
    if parser.peek().is_none() {
        return Ok(requirements);
    }
    loop {
        requirements.push(parser.requirement()?);
        match parser.take() {
            None => return Ok(requirements),
            Some(Token::Sign(",")) => {}
            Some(found) => return Err(parser.expected("',' between requirements", Some(found))),
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let token = match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Some(sign) => {
                rest = &rest[sign.len()..];
                Token::Sign(sign)
            }
            None => {
                let is_end = |c: char| c.is_whitespace() || "=!,()<>".contains(c);
                let (word, behind) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
                rest = behind;
                Token::Word(word)
            }
        };
        tokens.push(token);
        rest = rest.trim_start();
    }
    tokens
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self) -> Option<Token<'t>> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn expected(&self, wanted: &str, found: Option<Token<'t>>) -> SelectorError {
        let found = match found {
            Some(Token::Word(text)) => format!("{text:?}"),
            Some(Token::Sign(sign)) => format!("{sign:?}"),
            None => "the end".to_owned(),
        };
        SelectorError(format!(
            "unable to parse selector {:?}: found {found}, expected {wanted}; write for example a=b,c!=d,e in (f,g),!h",
            self.text
        ))
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.peek() == Some(Token::Sign("!")) {
            self.take();
            return Ok(Requirement { key: self.key()?, operator: Operator::DoesNotExist });
        }
        let key = self.key()?;
        let operator = match self.peek() {
            None | Some(Token::Sign(",")) => Operator::Exists,
            found => {
                self.take();
                self.operator(found)?
            }
        };
        Ok(Requirement { key, operator })
    }

    fn operator(&mut self, found: Option<Token<'t>>) -> Result<Operator, SelectorError> {
        match found {
            Some(Token::Sign("=" | "==")) => Ok(Operator::In(BTreeSet::from([self.value()]))),
            Some(Token::Sign("!=")) => Ok(Operator::NotIn(BTreeSet::from([self.value()]))),
            Some(Token::Sign(">")) => self.number().map(Operator::Above),
            Some(Token::Sign("<")) => self.number().map(Operator::Below),
            Some(Token::Word("in")) => self.values().map(Operator::In),
            Some(Token::Word("notin")) => self.values().map(Operator::NotIn),
            other => Err(self.expected("one of = == != > < in notin", other)),
        }
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        match self.take() {
            Some(Token::Word(word)) => Ok(word.to_owned()),
            other => Err(self.expected("a label's name", other)),
        }
    }

    /// A value, which may be empty.
    fn value(&mut self) -> String {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.take();
                word.to_owned()
            }
            _ => String::new(),
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        let found = self.take();
        match found {
            Some(Token::Word(word)) => word.parse().map_err(|_| self.expected("a whole number", found)),
            other => Err(self.expected("a whole number", other)),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        match self.take() {
            Some(Token::Sign("(")) => {}
            other => return Err(self.expected("'('", other)),
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value());
            match self.take() {
                Some(Token::Sign(",")) => {}
                Some(Token::Sign(")")) => return Ok(values),
                other => return Err(self.expected("',' or ')'", other)),
            }
        }
    }
}
