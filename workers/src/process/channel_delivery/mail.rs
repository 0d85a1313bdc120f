//! Mails, through the mail server of the operators.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use steward_events::BoxError;
use steward_events::event::Recipients;

use super::outgoing::{Failure, Outgoing};
use super::wording;
use crate::config::{Mail, MailTls};

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Sends mails.
pub(super) struct Mailer {
    transport: Transport,
    from: Mailbox,
    domains: Vec<String>,
}

impl Mailer {
    /// As the configuration says; none if it names no mail server.
    ///
    /// # Errors
    /// What is wrong in it.
    pub(super) fn new(config: &Mail, time_max: Duration) -> Result<Option<Self>, BoxError> {
        let Some(host) = &config.host else { return Ok(None) };
        let from = config.from.as_deref().ok_or("mail.from is not set: say in whose name mails are written")?;
        let from = mailbox(from).ok_or_else(|| format!("mail.from {from:?} is no mail address"))?;
        let mut transport = match config.tls {
            MailTls::Starttls => Transport::starttls_relay(host)?,
            MailTls::Tls => Transport::relay(host)?,
            MailTls::None => Transport::builder_dangerous(host.clone()).port(25),
        };
        if let Some(port) = config.port {
            transport = transport.port(port);
        }
        match (&config.user, &config.secret) {
            (Some(user), Some(password)) => {
                let password = password.expose().to_owned();
                transport = transport.credentials(Credentials::new(user.clone(), password));
            }
            (None, None) => {}
            _ => return Err("mail.user and mail.password belong together: set both or none".into()),
        }
        let domains = config.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        Ok(Some(Self { transport: transport.timeout(Some(time_max)).build(), from, domains }))
    }

    /// Sends one mail to all of the channel's recipients.
    pub(super) async fn send(&self, outgoing: &Outgoing, recipients: &Recipients) -> Result<(), Failure> {
        let mail = self.written(outgoing, recipients)?;
        match self.transport.send(mail).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }

    fn written(&self, outgoing: &Outgoing, recipients: &Recipients) -> Result<Message, Failure> {
        let id = format!("<{}@{}>", outgoing.message, self.from.email.domain());
        let mut mail = Message::builder()
            .from(self.from.clone())
            // The same at every attempt: mail servers and programs drop what they have already.
            .message_id(Some(id))
            .subject(wording::title(outgoing))
            .header(ContentType::TEXT_PLAIN)
            // Nobody's holiday notice answers.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for address in recipients.addresses() {
            let address: Address =
                address.parse().map_err(|_| Failure::Never("one of the recipients is no mail address".to_owned()))?;
            let domain = address.domain().to_ascii_lowercase();
            if !self.domains.is_empty() && !self.domains.contains(&domain) {
                let reason = format!("this installation writes no mails to {domain}: ask its operators (mail.domains)");
                return Err(Failure::Never(reason));
            }
            mail = mail.to(Mailbox::new(None, address));
        }
        mail.body(wording::text(outgoing)).map_err(|_| Failure::Never("the mail cannot be written".to_owned()))
    }
}

/// An address with or without a name, which may be of any letters.
fn mailbox(text: &str) -> Option<Mailbox> {
    match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => {
            Some(Mailbox::new(Some(name.trim().trim_matches('"').to_owned()), address.parse().ok()?))
        }
        None => Some(Mailbox::new(None, text.trim().parse().ok()?)),
    }
}

fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    // What the server said may name a recipient; its code is enough.
    let code = error.status().map(|code| format!("the mail server answered {code}"));
    match code {
        Some(code) if error.is_permanent() => Failure::Never(code),
        Some(code) => Failure::later(code),
        None if error.is_timeout() => Failure::later("the mail server did not answer in time"),
        None if error.is_tls() => Failure::later("there is no TLS with the mail server (mail.tls)"),
        None => Failure::later("the mail server cannot be reached"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use steward_events::event::{ChannelKind, ChannelSpec, Notice, NoticeKind, Severity};
    use steward_events::timestamp::Timestamp;

    use super::*;

    fn mailer(domains: &[&str]) -> Mailer {
        let config = Mail {
            host: Some("localhost".to_owned()),
            from: Some("Steward <steward@example.com>".to_owned()),
            tls: MailTls::None,
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            ..Mail::default()
        };
        Mailer::new(&config, Duration::from_secs(1)).unwrap().unwrap()
    }

    fn outgoing(title: &str) -> Outgoing {
        let notice = Notice {
            kind: NoticeKind::Test,
            severity: Severity::Info,
            scope: "acme".parse().unwrap(),
            at: Timestamp(0),
            about: "channel ops".to_owned(),
            title: title.to_owned(),
            text: "Grüße".to_owned(),
            fields: BTreeMap::new(),
            act: None,
            ends: None,
        };
        Outgoing {
            tenant: "acme".parse().unwrap(),
            channel: "ops".parse().unwrap(),
            message: "msg_1".parse().unwrap(),
            spec: ChannelSpec {
                kind: ChannelKind::Mail,
                url: None,
                secret: None,
                recipients: None,
                notices: vec![],
                scopes: vec![],
                enabled: true,
            },
            notices: vec![notice],
            more: 0,
            secrets: vec![],
        }
    }

    fn to(addresses: &[&str]) -> Recipients {
        addresses.iter().map(|address| (*address).to_owned()).collect::<Vec<_>>().try_into().unwrap()
    }

    #[tokio::test]
    async fn a_title_makes_no_header_of_its_own() {
        let written = mailer(&[]).written(&outgoing("ü\r\nBcc: all@example.com"), &to(&["ana@example.com"])).unwrap();
        let text = String::from_utf8(written.formatted()).unwrap();
        let headers = text.split("\r\n\r\n").next().unwrap();
        assert!(!headers.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{headers}");
        assert!(headers.contains("Message-ID: <msg_1@example.com>"), "{headers}");
        assert_eq!(written.envelope().to().len(), 1);
    }

    #[tokio::test]
    async fn mails_go_to_the_domains_of_the_configuration_only() {
        let mailer = mailer(&["Example.com"]);
        assert!(mailer.written(&outgoing("a"), &to(&["ana@EXAMPLE.com"])).is_ok());
        let refused = mailer.written(&outgoing("a"), &to(&["ana@example.com", "eve@example.net"])).unwrap_err();
        assert!(matches!(refused, Failure::Never(ref reason) if reason.contains("example.net")), "{refused:?}");
    }

    #[test]
    fn half_a_configuration_is_refused() {
        let half = |change: fn(&mut Mail)| {
            let mut config =
                Mail { host: Some("mail".to_owned()), from: Some("a@example.com".to_owned()), ..Mail::default() };
            change(&mut config);
            Mailer::new(&config, Duration::from_secs(1)).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(half(|config| config.from = None).contains("mail.from is not set"));
        assert!(half(|config| config.from = Some("nobody".to_owned())).contains("is no mail address"));
        assert!(half(|config| config.user = Some("steward".to_owned())).contains("belong together"));
        assert_eq!(half(|_| {}), "");
    }
}
