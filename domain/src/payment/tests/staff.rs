//! Money that staff give back.

use super::*;

fn order(status: order::Status) -> Order {
    Order::Placed(order::Progress {
        customer_id: customer_id(),
        status,
        cancellation_requested: false,
    })
}

#[test]
fn staff_give_back_what_an_ended_order_was_charged() {
    use order::Status::{Cancelled, Completed, Paid, Pending, Reserved, Returned, Scheduled};
    let asked = |history, status| give_back(&fold(history), &order(status), order_id());
    assert_eq!(asked(charged(), Completed), Ok(vec![refund_requested(1)]));
    for status in [Pending, Reserved, Paid, Scheduled] {
        assert_eq!(
            asked(charged(), status),
            Err(Error::OrderUnderWay { status })
        );
    }
    let failed = [refunding(), vec![refund_failed(1)]].concat();
    for status in [Completed, Cancelled, Returned] {
        assert_eq!(asked(failed.clone(), status), Ok(vec![refund_requested(2)]));
        assert_eq!(asked(refunding(), status), Ok(vec![]));
        assert_eq!(asked(given_back(), status), Ok(vec![]));
    }
    assert_eq!(asked(vec![], Completed), Err(Error::NotFound));
    for history in [vec![called_off()], vec![initiated(), declined()]] {
        assert_eq!(asked(history, Cancelled), Err(Error::NothingCharged));
    }
}
