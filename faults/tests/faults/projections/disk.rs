//! A full disk under the index.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use faults::{Schedule, alone};
use projections::ReadModel;
use read_models::status::{self, State};

use super::SOON;
use super::shop::Shop;

/// Room for a small index and not much more.
const SIZE: &str = "size=8m";

/// Commands while there is no room: far more than fit into what is left.
const COMMANDS: usize = 60;

const MODEL: [ReadModel; 1] = [ReadModel::Search];

/// A file system of its own, gone with this value.
struct Mount(PathBuf);

impl Mount {
    /// None where this user may not mount.
    fn over(directory: &Path) -> Option<Mount> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(directory)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Mount(directory.to_owned()))
    }

    /// Leaves no room at all.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).unwrap();
        for chunk in [vec![0; 4096], vec![0; 1]] {
            while file.write_all(&chunk).is_ok() {}
        }
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{} stays mounted",
            self.0.display()
        );
    }
}

#[tokio::test]
async fn an_index_goes_on_once_a_full_disk_has_room_again() {
    let _alone = alone().await;
    let schedule = Schedule::of("an_index_goes_on_once_a_full_disk_has_room_again");
    let mut shop = Shop::open(schedule.seed).await;
    let Some(mount) = Mount::over(shop.data_directory()) else {
        println!("a full disk: NOT TESTED, this user may not mount a tmpfs");
        return;
    };
    let position = shop.trade.go_on(40).await;
    let mut worker = shop.start(&MODEL, "first", None).await;
    shop.reached(&MODEL, position).await;

    // Under a running owner.
    let ballast = mount.fill();
    let position = shop.trade.go_on(COMMANDS).await;
    says_that_it_stopped(&shop, position).await;
    fs::remove_file(&ballast).unwrap();
    shop.reached(&MODEL, position).await;

    // Under one that is killed meanwhile, and one that starts on a full disk.
    mount.fill();
    let position = shop.trade.go_on(COMMANDS).await;
    says_that_it_stopped(&shop, position).await;
    worker.kill();
    worker.ended(SOON).await;
    // With a process goes the room of the files that it had open and were deleted.
    let ballast = mount.fill();
    shop.expire_leases().await;
    let worker = shop.start(&MODEL, "second", None).await;
    testing::until("the next owner is at it", SOON, async || {
        let rows = status::list(shop.pool(), None).await.unwrap();
        rows[0].owner.as_deref() == Some("second") && rows[0].failure.is_some()
    })
    .await;
    fs::remove_file(&ballast).unwrap();
    shop.reached(&MODEL, position).await;
    testing::until("the failure is over", SOON, async || {
        status::list(shop.pool(), None).await.unwrap()[0].state == State::Live
    })
    .await;
    shop.stop(worker).await;
    shop.verify().await;
}

/// Operators see why in one line, and readers see nothing of what is not committed.
async fn says_that_it_stopped(shop: &Shop, head: i64) {
    testing::until("the failure is recorded", SOON, async || {
        let rows = status::list(shop.pool(), None).await.unwrap();
        // It may say for a moment that it has lost its lease.
        let failure = rows[0].failure.as_deref();
        failure.is_some_and(|it| it.contains("search index in") && !it.contains('\n'))
    })
    .await;
    let position = shop.position(ReadModel::Search).await.unwrap();
    assert!(position < head, "{position} with no room");
}
