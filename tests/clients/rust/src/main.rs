//! The crate etcd-client: keys, transactions, leases, watches, locks and elections; prints a line each.

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, Error, EventType, GetOptions,
    LeaseTimeToLiveOptions, LockOptions, ProclaimOptions, PutOptions, ResignOptions, SortOrder,
    SortTarget, Txn, TxnOp, TxnOpResponse, WatchOptions, WatchResponse, WatchStream,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const MEMBERS: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let endpoints = std::env::args()
        .nth(1)
        .expect("usage: client HOST:PORT,HOST:PORT…");
    let endpoints: Vec<&str> = endpoints.split(',').collect();
    let mut client = Client::connect(&endpoints, None).await?;
    client
        .delete("rs/", Some(DeleteOptions::new().with_prefix()))
        .await?;
    keys(&mut client).await?;
    transactions(&mut client).await?;
    leases(&mut client).await?;
    watches(&mut client).await?;
    locks(&mut client).await?;
    elections(&mut client).await?;
    snapshots(&mut client).await?;
    rest(&mut client).await
}

async fn keys(client: &mut Client) -> Result<(), Error> {
    client.put("rs/a", "1", None).await?;
    client.put("rs/b", "2", None).await?;
    let put = client
        .put("rs/a", "3", Some(PutOptions::new().with_prev_key()))
        .await?;
    assert_eq!(put.prev_key().unwrap().value(), b"1");
    let options = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Key, SortOrder::Descend);
    let found = client.get("rs/", Some(options)).await?;
    let pairs: Vec<_> = found
        .kvs()
        .iter()
        .map(|kv| (kv.key_str(), kv.value_str()))
        .collect();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(k, v)| (k.unwrap(), v.unwrap()))
        .collect();
    assert_eq!(pairs, [("rs/b", "2"), ("rs/a", "3")]);
    let page = client
        .get("rs/", Some(GetOptions::new().with_prefix().with_limit(1)))
        .await?;
    assert_eq!((page.kvs().len(), page.more(), page.count()), (1, true, 2));
    let before = put.header().unwrap().revision() - 1;
    let old = client
        .get("rs/a", Some(GetOptions::new().with_revision(before)))
        .await?;
    assert_eq!(old.kvs()[0].value(), b"1");
    let gone = client
        .delete(
            "rs/",
            Some(DeleteOptions::new().with_prefix().with_prev_key()),
        )
        .await?;
    assert_eq!((gone.deleted(), gone.prev_kvs().len()), (2, 2));
    assert_eq!(client.get("rs/a", None).await?.count(), 0);
    println!("ok keys");
    Ok(())
}

async fn transactions(client: &mut Client) -> Result<(), Error> {
    let create = Txn::new()
        .when([Compare::create_revision("rs/txn", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("rs/txn", "first", None)])
        .or_else([TxnOp::get("rs/txn", None)]);
    assert!(client.txn(create.clone()).await?.succeeded());
    let again = client.txn(create).await?;
    assert!(!again.succeeded());
    match &again.op_responses()[0] {
        TxnOpResponse::Get(found) => assert_eq!(found.kvs()[0].value(), b"first"),
        other => panic!("{other:?}"),
    }
    let twice = Txn::new().and_then([TxnOp::put("rs/x", "1", None), TxnOp::put("rs/x", "2", None)]);
    refused(
        client.txn(twice).await,
        "duplicate key given in txn request",
    );
    println!("ok transactions");
    Ok(())
}

async fn leases(client: &mut Client) -> Result<(), Error> {
    let lease = client.lease_grant(600, None).await?.id();
    client
        .put("rs/leased", "x", Some(PutOptions::new().with_lease(lease)))
        .await?;
    let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
    for _ in 0..3 {
        keeper.keep_alive().await?;
        assert_eq!(answers.message().await?.unwrap().ttl(), 600);
    }
    let options = LeaseTimeToLiveOptions::new().with_keys();
    let left = client.lease_time_to_live(lease, Some(options)).await?;
    assert_eq!(
        (left.granted_ttl(), left.keys()),
        (600, &[b"rs/leased".to_vec()][..])
    );
    assert!(client
        .leases()
        .await?
        .leases()
        .iter()
        .any(|each| each.id() == lease));
    client.lease_revoke(lease).await?;
    assert_eq!(client.get("rs/leased", None).await?.count(), 0);
    refused(
        client.lease_revoke(lease).await,
        "requested lease not found",
    );
    println!("ok leases");
    Ok(())
}

async fn next(stream: &mut WatchStream) -> Result<WatchResponse, Error> {
    let message = timeout(PATIENCE, stream.message())
        .await
        .expect("no response of watch in time")?;
    Ok(message.expect("the watch stream has ended"))
}

async fn watches(client: &mut Client) -> Result<(), Error> {
    let revision = client
        .put("rs/watch/a", "old", None)
        .await?
        .header()
        .unwrap()
        .revision();
    let options = WatchOptions::new()
        .with_prefix()
        .with_prev_key()
        .with_start_revision(revision + 1);
    let mut stream = client.watch("rs/watch/", Some(options)).await?;
    client.put("rs/watch/a", "new", None).await?;
    client.put("rs/watch/b", "1", None).await?;
    client.delete("rs/watch/a", None).await?;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let response = next(&mut stream).await?;
        for event in response.events() {
            let (kv, before) = (event.kv().unwrap(), event.prev_kv());
            seen.push((
                event.event_type() == EventType::Put,
                kv.key_str()?.to_string(),
                before.map(|kv| kv.value_str().unwrap().to_string()),
            ));
        }
    }
    let wanted = [
        (true, "rs/watch/a".to_string(), Some("old".to_string())),
        (true, "rs/watch/b".to_string(), None),
        (false, "rs/watch/a".to_string(), Some("new".to_string())),
    ];
    assert_eq!(seen, wanted);
    // Asked again and again: only a watcher that has caught up is told.
    loop {
        stream.request_progress().await?;
        let response = next(&mut stream).await?;
        assert!(response.events().is_empty());
        if response.header().unwrap().revision() >= revision + 3 {
            break;
        }
    }
    println!("ok watches");
    Ok(())
}

async fn locks(client: &mut Client) -> Result<(), Error> {
    let lease = client.lease_grant(600, None).await?.id();
    let held = client
        .lock("rs-lock", Some(LockOptions::new().with_lease(lease)))
        .await?;
    let mut other = client.clone();
    let waiter = tokio::spawn(async move { other.lock("rs-lock", None).await });
    let prefix = GetOptions::new().with_prefix().with_count_only();
    while client.get("rs-lock/", Some(prefix.clone())).await?.count() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!waiter.is_finished());
    client.unlock(held.key()).await?;
    let second = timeout(PATIENCE, waiter)
        .await
        .expect("the lock was given back")
        .unwrap()?;
    client.unlock(second.key()).await?;
    client.lease_revoke(lease).await?;
    println!("ok locks");
    Ok(())
}

async fn elections(client: &mut Client) -> Result<(), Error> {
    let lease = client.lease_grant(600, None).await?.id();
    let won = client.campaign("rs-election", "ann", lease).await?;
    let leader = won.leader().unwrap().clone();
    assert_eq!(
        client.leader("rs-election").await?.kv().unwrap().value(),
        b"ann"
    );
    let mut observed = client.observe("rs-election").await?;
    let first = timeout(PATIENCE, observed.message())
        .await
        .expect("nothing observed")?
        .unwrap();
    assert_eq!(first.kv().unwrap().value(), b"ann");
    let options = ProclaimOptions::new().with_leader(leader.clone());
    client.proclaim("bob", Some(options)).await?;
    let second = timeout(PATIENCE, observed.message())
        .await
        .expect("nothing observed")?
        .unwrap();
    assert_eq!(second.kv().unwrap().value(), b"bob");
    client
        .resign(Some(ResignOptions::new().with_leader(leader)))
        .await?;
    refused(client.leader("rs-election").await, "election: no leader");
    client.lease_revoke(lease).await?;
    println!("ok elections");
    Ok(())
}

async fn snapshots(client: &mut Client) -> Result<(), Error> {
    let mut stream = client.snapshot().await?;
    let (mut octets, mut left) = (0, None);
    while let Some(part) = stream.message().await? {
        octets += part.blob().len();
        left = Some(part.remaining_bytes());
    }
    assert_eq!(left, Some(0));
    assert!(octets > 4096, "a snapshot of {octets} octets");
    println!("ok snapshots");
    Ok(())
}

async fn rest(client: &mut Client) -> Result<(), Error> {
    assert_eq!(client.member_list().await?.members().len(), MEMBERS);
    assert!(client.status().await?.version().starts_with("3.6."));
    let options = GetOptions::new().with_revision(1 << 40);
    refused(
        client.get("rs/a", Some(options)).await,
        "required revision is a future revision",
    );
    refused(client.role_list().await, "not implemented: users and roles");
    println!("ok rest");
    Ok(())
}

/// Asserts that a call was refused with a text.
fn refused<T>(result: Result<T, Error>, text: &str) {
    match result {
        Err(Error::GRpcStatus(status)) if status.message().contains(text) => (),
        Err(error) => panic!("refused with {error}, not with {text}"),
        Ok(_) => panic!("accepted, but must be refused with {text}"),
    }
}
