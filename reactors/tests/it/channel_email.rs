//! Mail, against a mail server.

use std::sync::Arc;
use std::time::Duration;

use reactors::CertificateAuthority;
use reactors::channel::{Channel, EmailChannel, EmailSettings, Message, SendError};
use tempfile::TempDir;
use testing::{Mail, MailServer, Protection};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::messages::message_to;

const FROM: &str = "Nakku <orders@shop.example.org>";

fn server() -> (MailServer, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (MailServer::start(dir.path(), Protection::None), dir)
}

fn settings(server: &MailServer) -> EmailSettings {
    EmailSettings::new(format!("smtp://127.0.0.1:{}", server.port()), FROM)
}

fn channel(server: &MailServer) -> EmailChannel {
    EmailChannel::new(&settings(server)).unwrap()
}

fn only(server: &MailServer) -> Mail {
    let mut mails = server.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    mails.remove(0)
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let (server, _dir) = server();
    let message = message_to("ada");
    channel(&server).send(&message).await.unwrap();

    let mail = only(&server);
    assert_eq!(mail.envelope_from, "orders@shop.example.org");
    assert_eq!(mail.envelope_to, ["ada@example.org"]);
    assert_eq!(mail.header("From"), [FROM]);
    assert_eq!(mail.header("To"), ["ada@example.org"]);
    assert_eq!(mail.header("Subject"), [message.subject.as_str()]);
    let id = format!("<{}@shop.example.org>", message.id.replace(':', "."));
    assert_eq!(mail.header("Message-ID"), [id.as_str()]);
    assert_eq!(mail.header("Auto-Submitted"), ["auto-generated"]);
    assert_eq!(mail.header("Date").len(), 1);
    assert_eq!(
        mail.text.replace("\r\n", "\n").trim_end(),
        message.body.trim_end()
    );
    assert_eq!(mail.defects, Vec::<String>::new());
    assert!(mail.ascii);
    assert_eq!(mail.greeting, "shop.example.org");
}

#[tokio::test]
async fn a_connection_is_used_again_and_a_dead_one_is_replaced() {
    let (mut server, _dir) = server();
    let channel = channel(&server);
    for _ in 0..3 {
        channel.send(&message_to("ada")).await.unwrap();
    }
    let refused = channel.send(&message_to("refused")).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    channel.send(&message_to("ada")).await.unwrap();
    let peers: Vec<u16> = server.mails().iter().map(|mail| mail.peer).collect();
    assert_eq!(peers, [peers[0]; 4]);

    server.kill();
    server.restart();
    channel.send(&message_to("ada")).await.unwrap();
    assert_eq!(server.mails().len(), 5);
}

#[tokio::test]
async fn a_refusal_is_for_good_and_does_not_repeat_the_address() {
    let (server, _dir) = server();
    let channel = channel(&server);
    for (who, codes) in [("refused", "550 5.1.1"), ("unwanted", "554 5.7.1")] {
        let error = channel.send(&message_to(who)).await.unwrap_err();
        let text = format!("the mail server answered {codes}");
        assert_eq!(error, SendError::Refused(text));
    }
    assert_eq!(server.mails(), []);
}

#[tokio::test]
async fn what_the_server_puts_off_may_be_sent_again() {
    let (server, _dir) = server();
    let channel = channel(&server);
    let message = message_to("greylisted");
    let later = channel.send(&message).await;
    let text = "the mail server answered 451 4.7.1".to_owned();
    assert_eq!(later, Err(SendError::NotSent(text)));
    channel.send(&message).await.unwrap();
    assert_eq!(only(&server).envelope_to, ["greylisted@example.org"]);

    let full = channel.send(&message_to("full")).await;
    assert!(matches!(full, Err(SendError::NotSent(_))), "{full:?}");
    let hung_up = channel.send(&message_to("hangup")).await;
    assert!(matches!(hung_up, Err(SendError::NotSent(_))), "{hung_up:?}");
}

#[tokio::test]
async fn a_mail_without_an_answer_may_have_arrived() {
    let (server, _dir) = server();
    let dropped = channel(&server).send(&message_to("dropped")).await;
    assert!(matches!(dropped, Err(SendError::Unknown(_))), "{dropped:?}");
    assert_eq!(server.mails().len(), 1);

    let impatient = EmailSettings {
        deadline: Duration::from_secs(4),
        ..settings(&server)
    };
    let channel = EmailChannel::new(&impatient).unwrap();
    let silent = channel.send(&message_to("silent")).await;
    assert!(matches!(silent, Err(SendError::Unknown(_))), "{silent:?}");
}

#[tokio::test]
async fn a_server_that_is_down_or_silent_got_nothing() {
    let (mut server, _dir) = server();
    server.kill();
    let down = channel(&server).send(&message_to("ada")).await;
    assert!(matches!(down, Err(SendError::NotSent(_))), "{down:?}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = EmailSettings {
        deadline: Duration::from_millis(300),
        ..EmailSettings::new(format!("smtp://{}", silent.local_addr().unwrap()), FROM)
    };
    let result = EmailChannel::new(&settings)
        .unwrap()
        .send(&message_to("ada"))
        .await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn who_logs_in_may_send() {
    let dir = tempfile::tempdir().unwrap();
    let login = Some(("shop@example.org", "s:cret/1"));
    let server = MailServer::with_login(dir.path(), Protection::None, login);
    let to = |credentials: &str| {
        let url = format!("smtp://{credentials}127.0.0.1:{}", server.port());
        EmailChannel::new(&EmailSettings::new(url, FROM)).unwrap()
    };
    let known = to("shop%40example.org:s%3Acret%2F1@");
    known.send(&message_to("ada")).await.unwrap();
    assert_eq!(only(&server).user.as_deref(), Some("shop@example.org"));

    // Neither the message nor the user is at fault: an operator mends it, and it goes out then.
    let wrong = to("shop%40example.org:guess@")
        .send(&message_to("ada"))
        .await;
    assert!(
        matches!(&wrong, Err(SendError::NotSent(text)) if !text.contains("guess")),
        "{wrong:?}"
    );
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn tls_is_spoken_with_whom_is_trusted_only() {
    for (protection, scheme, query) in [
        (Protection::StartTls, "smtp", "?tls=required"),
        (Protection::Tls, "smtps", ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = MailServer::start(dir.path(), protection);
        let url = format!("{scheme}://localhost:{}{query}", server.port());
        let stranger = EmailSettings::new(url, FROM);
        let refused = EmailChannel::new(&stranger)
            .unwrap()
            .send(&message_to("ada"))
            .await;
        assert!(
            matches!(refused, Err(SendError::NotSent(_))),
            "{protection:?}: {refused:?}"
        );

        let trusting = EmailSettings {
            authority: Some(CertificateAuthority::new(server.authority()).unwrap()),
            ..stranger
        };
        let channel = EmailChannel::new(&trusting).unwrap();
        channel.send(&message_to("ada")).await.unwrap();
        assert!(only(&server).encrypted, "{protection:?}");
    }
}

#[tokio::test]
async fn where_tls_is_required_nothing_goes_out_without() {
    let (server, _dir) = server();
    let url = format!("smtp://localhost:{}?tls=required", server.port());
    let channel = EmailChannel::new(&EmailSettings::new(url, FROM)).unwrap();
    let result = channel.send(&message_to("ada")).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
    assert_eq!(server.mails(), []);
}

#[tokio::test]
async fn no_text_becomes_a_header() {
    let (server, _dir) = server();
    let channel = channel(&server);
    for line_end in ["\r\n", "\n", "\r", "\u{85}", "\u{b}"] {
        let mut message = message_to("ada");
        message.subject = format!("Hello{line_end}Bcc: mallory@example.org");
        let refused = channel.send(&message).await;
        assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    }
    // What looks like a header in the body stays in the body, and what looks like an encoded word is not decoded twice.
    let hostile = Message {
        subject: "=?utf-8?q?Bcc=3A_mallory?= \u{2028}Bcc: x".to_owned(),
        body: "Bcc: mallory@example.org\n\n.\nQUIT\n".to_owned(),
        ..message_to("ada")
    };
    channel.send(&hostile).await.unwrap();
    let mail = only(&server);
    assert_eq!(mail.header("Bcc"), Vec::<&str>::new());
    assert_eq!(mail.header("Subject").len(), 1);
    assert_eq!(
        mail.text.replace("\r\n", "\n").trim_end(),
        hostile.body.trim_end()
    );
}

#[tokio::test]
async fn a_user_without_an_address_gets_no_mail() {
    let (server, _dir) = server();
    let mut message = message_to("ada");
    message.recipient.email = None;
    let refused = channel(&server).send(&message).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn mails_at_once_share_few_connections() {
    let (server, _dir) = server();
    let channel = Arc::new(channel(&server));
    let mut sends = JoinSet::new();
    for _ in 0..24 {
        let channel = Arc::clone(&channel);
        sends.spawn(async move { channel.send(&message_to("ada")).await });
    }
    for result in sends.join_all().await {
        result.unwrap();
    }
    let mut peers: Vec<u16> = server.mails().iter().map(|mail| mail.peer).collect();
    assert_eq!(peers.len(), 24);
    peers.sort_unstable();
    peers.dedup();
    assert!(peers.len() <= 4, "{peers:?}");
}

#[tokio::test]
async fn a_mail_that_waits_for_a_connection_is_not_late_by_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let mut settings = EmailSettings::new(url, FROM);
    settings.deadline = Duration::from_millis(300);
    let channel = Arc::new(EmailChannel::new(&settings).unwrap());
    // Takes connections and says nothing.
    let connections = tokio::spawn(async move {
        let mut open = Vec::new();
        while open.len() < 12 {
            open.push(listener.accept().await.unwrap());
        }
    });
    let mut sends = JoinSet::new();
    for _ in 0..12 {
        let channel = Arc::clone(&channel);
        sends.spawn(async move { channel.send(&message_to("ada")).await });
    }
    for result in sends.join_all().await {
        assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
    }
    // Each of them was tried.
    let tried = tokio::time::timeout(Duration::from_secs(10), connections).await;
    tried.unwrap().unwrap();
}

#[test]
fn settings_are_checked_when_they_are_set() {
    let wrong = [
        ("mail.example.org", FROM),
        ("smtp://mail.example.org?tls=no", FROM),
        ("smtp://mail.example.org", "nobody"),
        (
            "smtp://mail.example.org",
            "Nakku <orders@example.org>\r\nBcc: x@example.org",
        ),
    ];
    for (url, from) in wrong {
        let error = EmailChannel::new(&EmailSettings::new(url, from)).unwrap_err();
        assert!(
            error.to_string().starts_with("must be"),
            "{url} {from}: {error}"
        );
    }
}
