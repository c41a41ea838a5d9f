//! The group `plain`.

use super::setting::Visitor;
use fanwire_protocol::{TemplateTexts, dialect::MAX_TEMPLATE_LENGTH};

/// The texts of the plain dialect.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    /// A broadcast; `{content}` stands for what was sent.
    pub(crate) broadcast: String,
    /// The answer to JSON that is no broadcast; `{text}` stands for it as received.
    pub(crate) reply: String,
    /// The answer to a text that is no JSON; `{text}` stands for it as received.
    pub(crate) reply_text: String,
    /// The answer when something failed; `{reason}` says what.
    pub(crate) error: String,
    /// What a broadcast without content says.
    pub(crate) no_content: String,
}

impl Default for Plain {
    fn default() -> Self {
        let TemplateTexts { broadcast, reply, reply_text, error, no_content } = TemplateTexts::default();
        Self { broadcast, reply, reply_text, error, no_content }
    }
}

impl Plain {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("plain.broadcast", &mut self.broadcast, template("{content}"));
        visitor.setting("plain.reply", &mut self.reply, template("{text}"));
        visitor.setting("plain.reply_text", &mut self.reply_text, template("{text}"));
        visitor.setting("plain.error", &mut self.error, template("{reason}"));
        visitor.setting("plain.no_content", &mut self.no_content, template(""));
    }
}

/// The rule that a text is a template with `place`, or, without one, that it isn't too long.
fn template(place: &'static str) -> impl Fn(&String) -> Option<String> {
    move |text| {
        if text.len() > MAX_TEMPLATE_LENGTH {
            return Some(format!("must be at most {MAX_TEMPLATE_LENGTH} bytes"));
        }
        let valid = place.is_empty() || text.matches(place).count() == 1;
        (!valid).then(|| format!("must contain {place} exactly once"))
    }
}
