//! Reports on a real store, with a clock the test moves: made once, mailed until taken, and never other bytes than those
//! that were made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sent_contract::{
    Level,
    shield::{NewReport, NewSchedule, NewTemplate, Report},
};
use sent_core::{
    Scope, Timestamp,
    clock::ManualClock,
    engine::BoxFuture,
    mail,
    report::{Block, Finding, Period, Section, Sources, Told},
};
use sent_shield::{Parts, Service, TABLES};
use sent_store::Store;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio_util::sync::CancellationToken;

const HOUR: i64 = 3_600_000_000;

/// One engine that answers, and one that does not.
struct Two {
    asked: Mutex<Vec<Period>>,
}

impl Sources for Two {
    fn ask(&self, _scope: &Scope, period: Period) -> BoxFuture<Vec<Told>> {
        self.asked.lock().unwrap().push(period);
        let section = Section {
            title: "Availability".to_owned(),
            place: 500,
            summary: Some(Finding { level: Level::Ok, text: "All was there.".to_owned() }),
            blocks: vec![Block::Text { text: "Nothing failed.".to_owned() }],
        };
        let told = vec![
            Told { engine: "pulse", section: Ok(section) },
            Told { engine: "guard", section: Err("no answer within 20 s".to_owned()) },
        ];
        Box::pin(std::future::ready(told))
    }
}

struct World {
    _folder: TempDir,
    files: TempDir,
    store: Store,
    scope: Scope,
    clock: Arc<ManualClock>,
    sources: Arc<Two>,
    mail: Option<Arc<mail::Mailer>>,
}

impl World {
    fn new(mail: Option<u16>) -> Self {
        let (folder, store, scope, clock) = sent_store::test::store_with_clock(TABLES).unwrap();
        let settings = mail.map(|port| mail::Settings {
            server: format!("smtp://127.0.0.1:{port}"),
            from: "reports@box.example".to_owned(),
        });
        let mail = settings.and_then(|settings| mail::Mailer::new(&settings).unwrap()).map(Arc::new);
        let (files, sources) = (TempDir::new().unwrap(), Arc::new(Two { asked: Mutex::default() }));
        Self { _folder: folder, files, store, scope, clock, sources, mail }
    }

    fn service(&self) -> Arc<Service> {
        Arc::new(Service::new(Parts {
            store: self.store.clone(),
            organization: self.scope.organization,
            folder: self.files.path().to_owned(),
            mail: self.mail.clone(),
            sources: self.sources.clone(),
        }))
    }

    /// Runs a service until the reports are as wanted.
    async fn until(&self, wanted: impl Fn(&[Report]) -> bool) -> Vec<Report> {
        let service = self.service();
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (service, stop) = (service.clone(), stop.clone());
            async move { service.run(stop).await }
        });
        let reports = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let reports = service.reports(&self.scope).await.unwrap().items;
                if wanted(&reports) {
                    return reports;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let reports = reports.await.expect("the reports become as wanted");
        stop.cancel();
        running.await.unwrap().unwrap();
        reports
    }

    /// What there is after a look at what is due.
    async fn look(&self) -> Vec<Report> {
        let service = self.service();
        service.look().await.unwrap();
        service.reports(&self.scope).await.unwrap().items
    }
}

fn monday(recipients: &[&str]) -> NewSchedule {
    NewSchedule {
        name: "Weekly".to_owned(),
        template: sent_contract::Uuid::nil(),
        weekday: 1,
        at: "14:00".to_owned(),
        recipients: recipients.iter().map(|r| (*r).to_owned()).collect(),
        paused: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_the_seven_days_before_and_reads_back() {
    let world = World::new(None);
    let service = world.service();
    let template = NewTemplate {
        name: "Ours".to_owned(),
        title: "Security report".to_owned(),
        sender: "Acme IT".to_owned(),
        accent: "#0d9488".to_owned(),
        closing: "Call us.".to_owned(),
        logo: Some("data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI5IiBoZWlnaHQ9IjkiLz4=".to_owned()),
    };
    let template = service.put_template(&world.scope, None, template).await.unwrap();
    let report =
        service.make(&world.scope, NewReport { template: Some(template.id), ..NewReport::default() }).await.unwrap();
    let midnight = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
    // The branch is in Berlin: its days begin an hour before those of UTC.
    assert_eq!((report.from, report.to), (midnight("2026-11-15T23:00:00Z"), midnight("2026-11-22T23:00:00Z")));
    assert_eq!(report.missing, ["guard: no answer within 20 s"]);
    let (_, bytes) = service.file(&world.scope, report.id).await.unwrap();
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() as u64 == report.bytes);

    // Other bytes are no report.
    let path = world.files.path().join(format!("{}.pdf", report.id));
    let mut torn = bytes.clone();
    torn.truncate(100);
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), &torn).unwrap();
    assert!(service.file(&world.scope, report.id).await.is_err());

    service.delete_report(&world.scope, report.id).await.unwrap();
    assert!(!path.exists() && service.reports(&world.scope).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_makes_its_week_once_and_only_the_last_of_those_it_slept_through() {
    let world = World::new(None);
    let schedule = world.service().put_schedule(&world.scope, None, monday(&[])).await.unwrap();
    // It is Monday noon in UTC, 13:00 in Berlin: due in an hour.
    assert_eq!(schedule.next, Some(sent_store::test::NOON.0 + HOUR));
    assert_eq!(world.look().await.len(), 0, "not before its time");
    world.clock.advance(HOUR);
    assert_eq!(world.look().await.len(), 1);
    assert_eq!(world.look().await.len(), 1, "once");
    world.clock.advance(3 * 7 * 24 * HOUR);
    let reports = world.look().await;
    assert_eq!(reports.len(), 2, "of three weeks the last");
    assert_eq!(reports[0].to - reports[1].to, 3 * 7 * 24 * HOUR);
    assert_eq!(reports[0].made_by, "shield");

    let paused = NewSchedule { paused: true, ..monday(&[]) };
    let paused = world.service().put_schedule(&world.scope, Some(schedule.id), paused).await.unwrap();
    assert_eq!(paused.next, None);
    world.clock.advance(7 * 24 * HOUR);
    assert_eq!(world.look().await.len(), 2);
    // Woken again, it does not make up for the week it rested.
    world.service().put_schedule(&world.scope, Some(schedule.id), monday(&[])).await.unwrap();
    assert_eq!(world.look().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_sent_until_it_is_taken() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let world = World::new(Some(port));
    let service = world.service();
    let new = NewReport { recipients: vec!["ada@example.org".to_owned()], ..NewReport::default() };
    service.make(&world.scope, new).await.unwrap();
    let waiting = world.look().await;
    assert_eq!((waiting[0].mail.as_str(), waiting[0].mail_error.is_some()), ("waiting", true));

    let mails = post_office(port).await;
    world.clock.advance(HOUR);
    assert_eq!(world.look().await[0].mail, "sent");
    let mails = mails.lock().unwrap();
    let mail = mails.first().unwrap();
    assert!(
        mail.contains("To: ada@example.org") && mail.contains("Subject: Security report: Harbour Street"),
        "{mail}"
    );
    assert!(mail.contains("filename=\"security-report-2026-11-22.pdf\""), "{mail}");
    assert_eq!(mails.len(), 1);
}

/// A mail server that takes everything.
async fn post_office(port: u16) -> Arc<Mutex<Vec<String>>> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let mails = Arc::new(Mutex::new(Vec::new()));
    let kept = mails.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(b"220 here\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer: &[u8] = match line.get(..4).unwrap_or_default() {
                    "DATA" => {
                        write.write_all(b"354 go on\r\n").await.unwrap();
                        let mut mail = String::new();
                        while let Ok(Some(line)) = lines.next_line().await
                            && line != "."
                        {
                            mail.push_str(&line);
                            mail.push('\n');
                        }
                        kept.lock().unwrap().push(mail);
                        b"250 taken\r\n"
                    }
                    "QUIT" => b"221 bye\r\n",
                    _ => b"250 ok\r\n",
                };
                write.write_all(answer).await.unwrap();
            }
        }
    });
    mails
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_goes_and_wrong_orders_are_refused() {
    let world = World::new(None);
    let orphan = world.files.path().join("0199a1f2-0000-7000-8000-000000000001.pdf");
    let other = world.files.path().join("notes.pdf");
    for path in [&orphan, &other] {
        std::fs::File::create(path).unwrap();
    }
    world.until(|_| !orphan.exists()).await;
    assert!(other.exists(), "only what is named as a report goes");

    let service = world.service();
    let now = world.store.clock().now();
    let wrong = [
        NewReport { from: Some(5), ..NewReport::default() },
        NewReport { from: Some(5), to: Some(5), ..NewReport::default() },
        NewReport { from: Some(i64::MIN), to: Some(i64::MAX), ..NewReport::default() },
        NewReport { from: Some(now.0 + 1), to: Some(now.0 + HOUR), ..NewReport::default() },
        NewReport { template: Some(sent_contract::Uuid::from_u128(9)), ..NewReport::default() },
        NewReport { recipients: vec!["nobody".to_owned()], ..NewReport::default() },
    ];
    for new in wrong {
        assert!(service.make(&world.scope, new.clone()).await.is_err(), "{new:?}");
    }
    let other = sent_store::test::second_organization(&world.store).unwrap();
    assert!(service.make(&other, NewReport::default()).await.is_err(), "another organisation is not reported");
    assert!(world.sources.asked.lock().unwrap().iter().all(|period| period.to <= Timestamp(now.0)));
}
