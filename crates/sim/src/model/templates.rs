//! An account's templates.

use giftd_domain::ids::TemplateId;
use giftd_domain::limits;
use giftd_domain::templates::{Template, TemplateContent};
use giftd_store::TemplateDeletion;

use super::{Account, KeptTemplate};
use crate::command::Answer;

impl Account {
    fn template(&self, number: i64) -> Option<Template> {
        let of = self.templates.get(&number).filter(|of| !of.deleted)?;
        let is_default = number == limits::FIRST_TEMPLATE_ID;
        Some(Template { template_id: TemplateId(number), is_default, content: of.content.clone() })
    }

    /// Those that weren't deleted; the default has the first number.
    pub fn listed_templates(&self) -> Vec<Template> {
        self.templates.keys().filter_map(|number| self.template(*number)).collect()
    }

    pub(super) fn create_template(&mut self, content: &TemplateContent) -> Answer {
        if self.templates.len() >= limits::TEMPLATES {
            return Answer::Template(None);
        }
        let number = self.templates.keys().last().map_or(limits::FIRST_TEMPLATE_ID, |last| last + 1);
        self.templates.insert(number, KeptTemplate { content: content.clone(), deleted: false });
        Answer::Template(self.template(number))
    }

    pub(super) fn replace_template(&mut self, template: TemplateId, content: &TemplateContent) -> Answer {
        if let Some(of) = self.templates.get_mut(&template.0).filter(|of| !of.deleted) {
            of.content = content.clone();
        }
        Answer::Template(self.template(template.0))
    }

    pub(super) fn delete_template(&mut self, template: TemplateId) -> Answer {
        Answer::TemplateDeletion(match self.template(template.0) {
            None => TemplateDeletion::Unknown,
            Some(of) if of.is_default => TemplateDeletion::Default,
            Some(_) => {
                self.templates.entry(template.0).and_modify(|of| of.deleted = true);
                TemplateDeletion::Deleted
            }
        })
    }
}
