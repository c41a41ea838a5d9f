//! The texts of the plain dialect, each with a place for what it tells.

use crate::Content;
use thiserror::Error;

/// The longest template, in bytes.
pub const MAX_TEMPLATE_LENGTH: usize = 512;

/// The texts as an operator configures them. `Default` gives those of the documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateTexts {
    /// A broadcast; its content replaces `{content}`.
    pub broadcast: String,
    /// The answer to a text that is JSON but no broadcast; the text replaces `{text}`.
    pub reply: String,
    /// The answer to a text that isn't JSON; the text replaces `{text}`.
    pub reply_text: String,
    /// What failed; the reason replaces `{reason}`.
    pub error: String,
    /// The content of a broadcast that has none. No template: nothing is replaced in it.
    pub no_content: String,
}

impl Default for TemplateTexts {
    fn default() -> Self {
        Self {
            broadcast: "广播消息: {content}".to_owned(),
            reply: "服务器回应: {text}".to_owned(),
            reply_text: "服务器回应 (非JSON): {text}".to_owned(),
            error: "服务器错误: {reason}".to_owned(),
            no_content: "无内容".to_owned(),
        }
    }
}

/// A text that is no template, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the plain template \"{name}\" {problem}")]
pub struct InvalidTemplate {
    /// The field of [`TemplateTexts`].
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: TemplateProblem,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateProblem {
    /// It has more than [`MAX_TEMPLATE_LENGTH`] bytes.
    #[error("has {0} bytes: at most {MAX_TEMPLATE_LENGTH} are allowed")]
    TooLong(usize),
    /// Its placeholder is not there exactly once.
    #[error("has {placeholder} {times} times: exactly once is needed")]
    Placeholder {
        /// The placeholder.
        placeholder: &'static str,
        /// How often it stands there.
        times: usize,
    },
}

/// The texts of the plain dialect, checked.
#[derive(Debug, Clone)]
pub struct Templates {
    pub(super) broadcast: Template,
    pub(super) reply: Template,
    pub(super) reply_text: Template,
    pub(super) error: Template,
    pub(super) no_content: Content,
}

impl Templates {
    /// Checks `texts`: each has at most [`MAX_TEMPLATE_LENGTH`] bytes, and a template has its placeholder exactly once.
    pub fn new(texts: &TemplateTexts) -> Result<Self, InvalidTemplate> {
        Ok(Self {
            broadcast: Template::new("broadcast", &texts.broadcast, "{content}")?,
            reply: Template::new("reply", &texts.reply, "{text}")?,
            reply_text: Template::new("reply_text", &texts.reply_text, "{text}")?,
            error: Template::new("error", &texts.error, "{reason}")?,
            no_content: no_content(&texts.no_content)?,
        })
    }
}

impl Default for Templates {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the default texts are constants, and a test makes templates of them")]
        Self::new(&TemplateTexts::default()).expect("the default texts are templates")
    }
}

fn no_content(text: &str) -> Result<Content, InvalidTemplate> {
    check_length("no_content", text)?;
    Ok(Content::string(text))
}

fn check_length(name: &'static str, text: &str) -> Result<(), InvalidTemplate> {
    if text.len() > MAX_TEMPLATE_LENGTH {
        return Err(InvalidTemplate { name, problem: TemplateProblem::TooLong(text.len()) });
    }
    Ok(())
}

/// What stands before and after the place of a placeholder.
#[derive(Debug, Clone)]
pub(super) struct Template {
    before: Box<str>,
    after: Box<str>,
}

impl Template {
    fn new(name: &'static str, text: &str, placeholder: &'static str) -> Result<Self, InvalidTemplate> {
        check_length(name, text)?;
        match text.split_once(placeholder) {
            Some((before, after)) if !after.contains(placeholder) => {
                Ok(Self { before: before.into(), after: after.into() })
            }
            _ => {
                let times = text.matches(placeholder).count();
                Err(InvalidTemplate { name, problem: TemplateProblem::Placeholder { placeholder, times } })
            }
        }
    }

    /// The length without what is inserted, in bytes.
    pub(super) fn length(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Appends the text with what `write` appends in the placeholder's place.
    pub(super) fn fill(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        out.extend_from_slice(self.before.as_bytes());
        write(out)?;
        out.extend_from_slice(self.after.as_bytes());
        Some(())
    }
}
