//! Processes that connect over loopback, as they should and as they should not.

use super::*;
use crate::codec::{Peer, greet};
use crate::control::{CertificateOf, Issued, Refusal};
use crate::ids::JobId;
use crate::transport::Dropped;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A cluster's folders, and its gate.
struct Cluster {
    _folder: tempfile::TempDir,
    folders: ClusterFolders,
    gate: Arc<Gate>,
}

impl Cluster {
    fn new() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let folders = ClusterFolders::make(&folder.path().join("cluster")).unwrap();
        let gate = Arc::new(Gate::open(&folders.coordinator).unwrap());
        Cluster { _folder: folder, folders, gate }
    }

    /// A worker's credentials: it has joined.
    async fn worker(&self) -> Credentials {
        let credentials = Credentials::of_folder(&self.folders.worker).unwrap();
        assert!(credentials.want_certificate());
        let (who, _) = self.admit(&credentials).await;
        let (key, issued) = self.certify(&who.unwrap(), CertificateOf::Worker);
        let issued = issued.unwrap();
        let lifetime = Duration::from_secs(issued.lifetime_s);
        credentials.install(key.certified(issued.chain, lifetime)).unwrap();
        assert!(!credentials.want_certificate());
        credentials
    }

    fn certify(&self, who: &Identity, of: CertificateOf) -> (NewKey, Result<Issued, Refusal>) {
        let key = NewKey::draw().unwrap();
        let issued = self.gate.certify(who, key.public(), of);
        (key, issued)
    }

    /// Lets somebody connect: whom the gate takes it for, and what it is told.
    async fn admit(
        &self,
        credentials: &Credentials,
    ) -> (Result<Identity, Dropped>, std::io::Result<Option<String>>) {
        let (near, far) = pair().await;
        let admitted = async { self.gate.admit(far).await.map(|(_, who)| who) };
        tokio::join!(admitted, introduced(near, credentials))
    }
}

async fn introduced(stream: TcpStream, shown: &Credentials) -> std::io::Result<Option<String>> {
    let mut wire = shown.connect(stream, Callee::Coordinator).await?;
    assert_eq!(greet(&mut wire).await?, Peer::Same);
    let token = shown.token();
    introduce(&mut wire, token.as_ref().map(|token| token.reveal().as_str())).await
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// Connects two processes as the data plane does: whom the one that has blocks takes the other for, and what came.
async fn fetch(
    from: &Credentials,
    reader: &Credentials,
) -> (std::io::Result<Identity>, std::io::Result<u8>) {
    let (near, far) = pair().await;
    let serving = async {
        let (mut wire, who) = from.accept(far).await?;
        wire.write_all(&[7]).await?;
        wire.flush().await?;
        Ok(who)
    };
    let reading = async { reader.connect(near, Callee::Worker).await?.read_u8().await };
    tokio::join!(serving, reading)
}

#[tokio::test]
async fn a_worker_joins_by_a_token_and_has_a_certificate_then() {
    let cluster = Cluster::new();
    let worker = cluster.worker().await;
    let (who, told) = cluster.admit(&worker).await;
    assert!(matches!(who.unwrap(), Identity::Worker { token: Some(_) }));
    assert_eq!(told.unwrap(), None);
    let other = cluster.worker().await;
    let (who, read) = fetch(&worker, &other).await;
    assert!(matches!(who.unwrap(), Identity::Worker { .. }));
    assert_eq!(read.unwrap(), 7);
}

#[tokio::test]
async fn an_executor_can_read_blocks_and_nothing_else() {
    let cluster = Cluster::new();
    let worker = cluster.worker().await;
    let who = cluster.admit(&worker).await.0.unwrap();
    let (key, issued) = cluster.certify(&who, CertificateOf::Executor(JobId(7)));
    let issued = issued.unwrap();
    let certificate = key.certified(issued.chain, Duration::from_secs(issued.lifetime_s));
    let executor = Credentials::given(worker.give(Some(certificate)).unwrap()).unwrap();
    let (who, read) = fetch(&worker, &executor).await;
    assert_eq!((who.unwrap(), read.unwrap()), (Identity::Executor(JobId(7)), 7));
    let (who, told) = cluster.admit(&executor).await;
    assert!(who.unwrap_err().to_string().contains("an executor of job j7"));
    assert!(told.unwrap().unwrap().contains("no business"));
    // Nor can it pass for a worker whose blocks others read.
    let (_, read) = fetch(&executor, &worker).await;
    let why = read.unwrap_err().to_string();
    assert!(why.contains("invalid peer certificate"), "{why}");
}

#[tokio::test]
async fn people_show_tokens_until_these_are_revoked() {
    let cluster = Cluster::new();
    let folder = cluster.folders.admin.with_file_name("alice");
    let coordinator = &cluster.folders.coordinator;
    let id = hand_out(coordinator, "alice", Role::Submit, None, &folder).unwrap();
    let alice = Credentials::of_folder(&folder).unwrap();
    let who = cluster.admit(&alice).await.0.unwrap();
    let (token, name) = (id.clone(), "alice".to_owned());
    assert_eq!(who, Identity::Holder { token, name, role: Role::Submit });
    assert_eq!(cluster.gate.holds(&who), Ok(()));
    for of in [CertificateOf::Worker, CertificateOf::Executor(JobId(1))] {
        assert!(matches!(cluster.certify(&who, of).1, Err(Refusal::Denied(_))));
    }
    Tokens::change(coordinator, |tokens| tokens.revoke(&id)).unwrap();
    cluster.gate.look_again();
    assert!(cluster.gate.holds(&who).unwrap_err().contains("alice) was revoked"));
    assert!(cluster.admit(&alice).await.1.unwrap().unwrap().contains("was revoked"));
}

#[tokio::test]
async fn a_worker_of_a_revoked_token_is_refused_its_certificate_notwithstanding() {
    let cluster = Cluster::new();
    let worker = cluster.worker().await;
    let Identity::Worker { token: Some(id) } = cluster.admit(&worker).await.0.unwrap() else {
        panic!("it joined by a token");
    };
    Tokens::change(&cluster.folders.coordinator, |tokens| tokens.revoke(&id)).unwrap();
    cluster.gate.look_again();
    assert!(cluster.admit(&worker).await.0.unwrap_err().to_string().contains("was revoked"));
}

#[tokio::test]
async fn another_cluster_is_refused_by_both_sides() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let stranger = other.worker().await;
    let (who, told) = cluster.admit(&stranger).await;
    assert!(who.unwrap_err().to_string().contains("TLS handshake failed"));
    assert!(told.unwrap_err().to_string().contains("UnknownIssuer"));
    // One that believes the right authority, and shows a certificate of the other.
    let certificate = stranger.give(None).unwrap();
    let ours = std::fs::read_to_string(cluster.folders.worker.join(CA)).unwrap();
    let folder = &other.folders.worker;
    std::fs::write(folder.join(CA), ours).unwrap();
    let mixed = Credentials::of_folder(folder).unwrap();
    mixed.install(Credentials::given(certificate).unwrap().own().unwrap()).unwrap();
    let (who, told) = cluster.admit(&mixed).await;
    assert!(who.unwrap_err().to_string().contains("UnknownIssuer"));
    told.unwrap_err();
    let worker = cluster.worker().await;
    let (who, read) = fetch(&worker, &mixed).await;
    assert!(who.unwrap_err().to_string().contains("UnknownIssuer"));
    read.unwrap_err();
}

#[tokio::test]
async fn who_speaks_no_tls_is_refused_and_told() {
    let cluster = Cluster::new();
    let (mut near, far) = pair().await;
    let (admitted, greeted) = tokio::join!(cluster.gate.admit(far), greet(&mut near));
    assert!(admitted.map(drop).unwrap_err().to_string().contains("does not speak TLS"));
    assert_eq!(greeted.unwrap(), Peer::Secured);
    let (mut near, far) = pair().await;
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(cluster.gate.admit(far).await.map(drop), Err(Dropped::Stranger)));
    let (near, far) = pair().await;
    drop(near);
    assert!(matches!(cluster.gate.admit(far).await.map(drop), Err(Dropped::Silent)));
    let worker = cluster.worker().await;
    let (mut near, far) = pair().await;
    near.write_all(&crate::data::preface()).await.unwrap();
    assert!(worker.accept(far).await.unwrap_err().to_string().contains("TLS handshake failed"));
}

#[tokio::test]
async fn one_without_token_or_certificate_is_refused() {
    let cluster = Cluster::new();
    let nobody = Credentials::of_folder(&cluster.folders.worker).unwrap();
    let (near, far) = pair().await;
    let connecting = async {
        let mut wire = nobody.connect(near, Callee::Coordinator).await?;
        greet(&mut wire).await?;
        introduce(&mut wire, None).await
    };
    let (admitted, told) = tokio::join!(cluster.gate.admit(far), connecting);
    assert!(matches!(admitted.map(drop), Err(Dropped::Refused(_))));
    assert!(told.unwrap().unwrap().contains("no token and no certificate"));
    let (mut near, far) = pair().await;
    near.write_all(&[22]).await.unwrap();
    let none = nobody.accept(far).await.unwrap_err().to_string();
    assert!(none.contains("no certificate yet"), "{none}");
}

#[tokio::test]
async fn certificates_are_replaced_without_a_restart() {
    let cluster = Cluster::new();
    let worker = cluster.worker().await;
    let coordinator = &cluster.folders.coordinator;
    // Another authority; the old one is believed besides.
    let (certificate, key) = Authority::make().unwrap();
    let before = std::fs::read_to_string(coordinator.join(CA)).unwrap();
    let both = format!("{certificate}{before}");
    write_private(coordinator, CA, &both).unwrap();
    write_private(coordinator, CA_KEY, key.reveal()).unwrap();
    cluster.gate.look_again();
    assert!(cluster.admit(&worker).await.1.is_err(), "it does not believe the new one");
    write_private(&cluster.folders.worker, CA, &both).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (who, _) = cluster.admit(&worker).await;
    assert!(matches!(who.unwrap(), Identity::Worker { .. }));
    // What cannot be read changes nothing.
    write_private(coordinator, CA, "no certificate").unwrap();
    cluster.gate.look_again();
    cluster.admit(&worker).await.0.unwrap();
    // What is mended then is read.
    write_private(coordinator, CA, &certificate).unwrap();
    cluster.gate.look_again();
    let told = cluster.admit(&worker).await.0.unwrap_err().to_string();
    assert!(told.contains("UnknownIssuer"), "the old one is believed no more: {told}");
}

#[tokio::test]
async fn certificates_may_be_brought_along() {
    let cluster = Cluster::new();
    let coordinator = &cluster.folders.coordinator.clone();
    let authority = Authority::read(coordinator).unwrap().unwrap();
    let (worker, key) = (Identity::Worker { token: None }, NewKey::draw().unwrap());
    let hour = Duration::from_secs(3600);
    let certificate = authority.certify(key.public(), &worker, hour).unwrap();
    let own = authority.of_coordinator(hour).unwrap();
    let pem = |label: &str, der: &[u8]| pem::encode(&pem::Pem::new(label, der.to_vec()));
    let bring = |folder: &Path, certificate: &[u8], key: &[u8]| {
        write_private(folder, CERTIFICATE, &pem("CERTIFICATE", certificate)).unwrap();
        write_private(folder, KEY, &pem("PRIVATE KEY", key)).unwrap();
    };
    std::fs::remove_file(coordinator.join(CA_KEY)).unwrap();
    bring(coordinator, &own.chain[0], own.key.reveal());
    let gate = Arc::new(Gate::open(coordinator).unwrap());
    let cluster = Cluster { gate, ..cluster };
    let own = key.certified(vec![certificate], hour);
    bring(&cluster.folders.worker, &own.chain[0], own.key.reveal());
    let credentials = Credentials::of_folder(&cluster.folders.worker).unwrap();
    assert!(!credentials.want_certificate());
    assert_eq!(cluster.admit(&credentials).await.0.unwrap(), worker);
    let asked = cluster.certify(&worker, CertificateOf::Executor(JobId(1))).1;
    assert_eq!(asked, Err(Refusal::CertifiesNobody));
    // A coordinator's is none of a worker.
    let mixed = Credentials::of_folder(coordinator).unwrap_err().to_string();
    assert!(mixed.contains("`worker.windrow`"), "{mixed}");
}

#[test]
fn folders_that_lack_something_are_refused_by_name() {
    let cluster = Cluster::new();
    let fails = |folder: &Path, says: &str| {
        let gate = Gate::open(folder).unwrap_err().to_string();
        assert!(gate.contains(says), "{gate}");
    };
    fails(&cluster.folders.worker, "`ca-key.pem`, nor `cert.pem`");
    let token = cluster.folders.worker.join(TOKEN);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&token, mode).unwrap();
    let open = Credentials::of_folder(&cluster.folders.worker).unwrap_err().to_string();
    assert!(open.contains("everybody may read it"), "{open}");
    std::fs::remove_file(&token).unwrap();
    let none = Credentials::of_folder(&cluster.folders.worker).unwrap_err().to_string();
    assert!(none.contains("no `token`"), "{none}");
    let other = Cluster::new();
    let certificate = std::fs::read_to_string(other.folders.coordinator.join(CA)).unwrap();
    let ours = std::fs::read_to_string(cluster.folders.coordinator.join(CA)).unwrap();
    std::fs::write(cluster.folders.coordinator.join(CA), certificate).unwrap();
    fails(&cluster.folders.coordinator, "others will not believe");
    std::fs::write(cluster.folders.coordinator.join(CA), ours).unwrap();
    std::fs::write(cluster.folders.coordinator.join(TOKENS), "[").unwrap();
    fails(&cluster.folders.coordinator, "no list of tokens");
    std::fs::write(cluster.folders.coordinator.join(CA_KEY), "x").unwrap();
    fails(&cluster.folders.coordinator, CA_KEY);
}

#[test]
fn only_this_machine_may_be_unsecured() {
    for (address, may) in [
        ("127.0.0.1:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("0.0.0.0:1", false),
        ("[::]:1", false),
        ("192.0.2.7:1", false),
    ] {
        assert_eq!(may_be_unsecured(address.parse().unwrap()), may, "{address}");
    }
}
