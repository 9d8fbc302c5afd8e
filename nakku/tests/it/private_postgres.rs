//! The private server, started for real: once, again, beside another, and after its owner was killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nakku::private_postgres::PrivatePostgres;
use sqlx::{Connection, PgConnection};

/// Of a server on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

const NOTE: &str = "postgres-is-elsewhere.txt";

async fn value(server: &PrivatePostgres, query: &str) -> String {
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let value = sqlx::query_scalar(query)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    value
}

async fn execute(server: &PrivatePostgres, statement: &str) {
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// Where the server keeps its files.
async fn cluster_of(server: &PrivatePostgres) -> String {
    value(server, "show data_directory").await
}

fn is_running(cluster: &str) -> bool {
    Path::new(cluster).join("postmaster.pid").exists()
}

/// A data directory that is removed with the cluster it may have elsewhere.
struct DataDir {
    directory: tempfile::TempDir,
}

impl DataDir {
    fn new() -> DataDir {
        DataDir {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let note = fs::read_to_string(self.path().join(NOTE)).unwrap_or_default();
        if let Some(home) = note.lines().last() {
            assert!(home.starts_with("/var/lib/nakku/"));
            fs::remove_dir_all(home).unwrap();
        }
    }
}

#[tokio::test]
async fn a_second_start_finds_the_data_of_the_first() {
    let data_dir = DataDir::new();
    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    execute(&server, "create table kept (word text)").await;
    execute(&server, "insert into kept values ('here')").await;
    assert_eq!(value(&server, "show fsync").await, "on");
    assert_eq!(value(&server, "show listen_addresses").await, "");
    assert_eq!(value(&server, "show server_encoding").await, "UTF8");
    let cluster = cluster_of(&server).await;
    server.stop().await.unwrap();
    assert!(!is_running(&cluster));

    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    assert_eq!(value(&server, "select word from kept").await, "here");
    server.stop().await.unwrap();
    assert!(!is_running(&cluster));
}

#[tokio::test]
async fn where_the_servers_user_gets_there_the_cluster_is_in_the_data_directory() {
    let data_dir = DataDir::new();
    fs::set_permissions(data_dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    let inside = data_dir
        .path()
        .canonicalize()
        .unwrap()
        .join("postgres/data");
    assert_eq!(Path::new(&cluster_of(&server).await), inside);
    let home = fs::metadata(data_dir.path().join("postgres")).unwrap();
    assert_eq!(
        home.permissions().mode() & 0o777,
        0o700,
        "nobody else reaches the socket"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn where_the_servers_user_does_not_get_the_cluster_is_elsewhere_and_a_note_says_so() {
    let data_dir = DataDir::new();
    fs::set_permissions(data_dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    let cluster = cluster_of(&server).await;
    server.stop().await.unwrap();
    // Only root has another user run the server.
    if fs::metadata(data_dir.path().join("postgres")).is_err() {
        let note = fs::read_to_string(data_dir.path().join(NOTE)).unwrap();
        assert!(cluster.starts_with("/var/lib/nakku/"), "{cluster}");
        assert!(note.contains(cluster.trim_end_matches("/data")), "{note}");
    }

    // The note is followed also when the directory would be reachable by now.
    fs::set_permissions(data_dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = PrivatePostgres::connect_or_start(data_dir.path())
        .await
        .unwrap();
    assert_eq!(cluster_of(&server).await, cluster);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn two_owners_of_one_data_directory_are_refused() {
    let data_dir = DataDir::new();
    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    let error = format!(
        "{:#}",
        PrivatePostgres::start(data_dir.path()).await.unwrap_err()
    );
    assert!(error.contains(data_dir.path().to_str().unwrap()), "{error}");
    assert!(
        error.contains(&format!(
            "another `nakku up` (process {})",
            std::process::id()
        )),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
    assert_eq!(value(&server, "select 'unharmed'").await, "unharmed");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_its_killed_owner_left_is_dealt_with() {
    let data_dir = DataDir::new();
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "private_postgres::an_owner_that_waits_to_be_killed",
        ])
        .env(HELD_DIRECTORY, data_dir.path())
        .spawn()
        .unwrap();
    let held = data_dir.path().join(HELD_FILE);
    testing::until("the owner has its server", DEADLINE, async || held.exists()).await;
    owner.kill().unwrap();
    owner.wait().unwrap();
    let pid_file = Path::new(&fs::read_to_string(&held).unwrap()).join("postmaster.pid");
    let orphan = first_line(&pid_file);

    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    assert_ne!(first_line(&pid_file), orphan, "it was started afresh");
    assert_eq!(value(&server, "select word from kept").await, "here");
    server.stop().await.unwrap();
}

const HELD_DIRECTORY: &str = "NAKKU_TEST_HELD_DIRECTORY";
const HELD_FILE: &str = "held";

/// The owner above: this test in a process of its own. Without a directory to hold there is nothing to do.
#[tokio::test]
async fn an_owner_that_waits_to_be_killed() {
    let Some(directory) = std::env::var_os(HELD_DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    let server = PrivatePostgres::start(directory).await.unwrap();
    execute(&server, "create table kept (word text)").await;
    execute(&server, "insert into kept values ('here')").await;
    fs::write(directory.join("unfinished"), cluster_of(&server).await).unwrap();
    fs::rename(directory.join("unfinished"), directory.join(HELD_FILE)).unwrap();
    std::future::pending::<()>().await;
}

fn first_line(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_pid_file_of_another_process_does_not_stop_a_start() {
    let data_dir = DataDir::new();
    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    let cluster = cluster_of(&server).await;
    server.stop().await.unwrap();
    // After a crash of the machine the number in the file may be anybody's; here it is this test's.
    fs::write(
        Path::new(&cluster).join("postmaster.pid"),
        format!(
            "{}\n{cluster}\n1\n5432\n/nowhere\n\n0 0\nready\n",
            std::process::id()
        ),
    )
    .unwrap();

    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    assert_eq!(cluster_of(&server).await, cluster);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn verbs_join_a_running_server_and_leave_it_running() {
    let data_dir = DataDir::new();
    let up = PrivatePostgres::start(data_dir.path()).await.unwrap();
    let verb = PrivatePostgres::connect_or_start(data_dir.path())
        .await
        .unwrap();
    assert_eq!(verb.url(), up.url());
    verb.stop().await.unwrap();
    assert_eq!(value(&up, "select 'still here'").await, "still here");
    up.stop().await.unwrap();
}

#[tokio::test]
async fn the_last_verb_to_leave_stops_the_server() {
    let data_dir = DataDir::new();
    let starter = PrivatePostgres::connect_or_start(data_dir.path())
        .await
        .unwrap();
    let cluster = cluster_of(&starter).await;
    let joiner = PrivatePostgres::connect_or_start(data_dir.path())
        .await
        .unwrap();
    starter.stop().await.unwrap();
    assert_eq!(value(&joiner, "select 'still here'").await, "still here");
    let late = PrivatePostgres::connect_or_start(data_dir.path())
        .await
        .unwrap();
    joiner.stop().await.unwrap();
    assert_eq!(value(&late, "select 'still here'").await, "still here");
    late.stop().await.unwrap();
    testing::until("the server is gone", DEADLINE, async || {
        !is_running(&cluster)
    })
    .await;
}

#[tokio::test]
async fn dropping_it_stops_the_server() {
    let data_dir = DataDir::new();
    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    let cluster = cluster_of(&server).await;
    drop(server);
    assert!(!is_running(&cluster));
}

#[tokio::test]
async fn a_failed_start_shows_the_end_of_the_servers_log() {
    let data_dir = DataDir::new();
    let server = PrivatePostgres::start(data_dir.path()).await.unwrap();
    let cluster = cluster_of(&server).await;
    server.stop().await.unwrap();
    fs::write(
        Path::new(&cluster).join("postgresql.auto.conf"),
        "work_mem = 'plenty'\n",
    )
    .unwrap();

    let error = format!(
        "{:#}",
        PrivatePostgres::start(data_dir.path()).await.unwrap_err()
    );
    assert!(
        error.contains("work_mem") && error.contains("postgres.log"),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_long_path_is_no_obstacle() {
    let directory = DataDir::new();
    let data_dir = directory
        .path()
        .join("a-directory-with-a-long-name".repeat(4))
        .join("data");
    let server = PrivatePostgres::start(&data_dir).await.unwrap();
    assert_eq!(
        value(&server, "select current_database()::text").await,
        "nakku"
    );
    server.stop().await.unwrap();
}
