import static java.nio.charset.StandardCharsets.UTF_8;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.kv.PutResponse;
import io.etcd.jetcd.kv.TxnResponse;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** jetcd: keys, transactions, leases, watches, locks and elections; prints a line each. */
public final class Client {
  private static final long PATIENCE_SECONDS = 60;
  private static final int MEMBERS = 3;

  private final io.etcd.jetcd.Client client;
  private final String endpoint;

  private Client(String[] endpoints) {
    client = io.etcd.jetcd.Client.builder().endpoints(endpoints).build();
    endpoint = endpoints[0];
  }

  public static void main(String[] arguments) {
    String[] endpoints =
        Arrays.stream(arguments[0].split(",")).map(each -> "http://" + each).toArray(String[]::new);
    try {
      new Client(endpoints).run();
    } catch (Throwable error) {
      error.printStackTrace();
      System.exit(1);
    }
    System.exit(0);
  }

  private void run() throws Exception {
    done(client.getKVClient().delete(of("jv/"), DeleteOption.builder().isPrefix(true).build()));
    keys();
    transactions();
    leases();
    watches();
    locks();
    elections();
    rest();
  }

  private void keys() throws Exception {
    put("jv/a", "1");
    put("jv/b", "2");
    PutOption withBefore = PutOption.builder().withPrevKV().build();
    PutResponse again = done(client.getKVClient().put(of("jv/a"), of("3"), withBefore));
    same("1", text(again.getPrevKv().getValue()));
    GetOption descending =
        GetOption.builder()
            .isPrefix(true)
            .withSortField(GetOption.SortTarget.KEY)
            .withSortOrder(GetOption.SortOrder.DESCEND)
            .build();
    same(List.of("jv/b=2", "jv/a=3"), found("jv/", descending));
    same(List.of("jv/a=3"), found("jv/", GetOption.builder().isPrefix(true).withLimit(1).build()));
    long before = again.getHeader().getRevision() - 1;
    same(List.of("jv/a=1"), found("jv/a", GetOption.builder().withRevision(before).build()));
    DeleteOption all = DeleteOption.builder().isPrefix(true).withPrevKV(true).build();
    var gone = done(client.getKVClient().delete(of("jv/"), all));
    same(2L, gone.getDeleted());
    same(2, gone.getPrevKvs().size());
    same(List.of(), found("jv/", GetOption.builder().isPrefix(true).build()));
    System.out.println("ok keys");
  }

  private void transactions() throws Exception {
    same(true, create().isSucceeded());
    TxnResponse again = create();
    same(false, again.isSucceeded());
    same("first", text(again.getGetResponses().get(0).getKvs().get(0).getValue()));
    Op.PutOp one = Op.put(of("jv/x"), of("1"), PutOption.DEFAULT);
    Op.PutOp two = Op.put(of("jv/x"), of("2"), PutOption.DEFAULT);
    refused(
        client.getKVClient().txn().Then(one, two).commit(), "duplicate key given in txn request");
    System.out.println("ok transactions");
  }

  private TxnResponse create() throws Exception {
    return done(
        client
            .getKVClient()
            .txn()
            .If(new Cmp(of("jv/txn"), Cmp.Op.EQUAL, CmpTarget.createRevision(0)))
            .Then(Op.put(of("jv/txn"), of("first"), PutOption.DEFAULT))
            .Else(Op.get(of("jv/txn"), GetOption.DEFAULT))
            .commit());
  }

  private void leases() throws Exception {
    var leases = client.getLeaseClient();
    long lease = done(leases.grant(600)).getID();
    PutOption leased = PutOption.builder().withLeaseId(lease).build();
    done(client.getKVClient().put(of("jv/leased"), of("x"), leased));
    same(600L, done(leases.keepAliveOnce(lease)).getTTL());
    Queue<LeaseKeepAliveResponse> answers = new Queue<>();
    try (var keeper = leases.keepAlive(lease, answers)) {
      same(600L, answers.take().getTTL());
    }
    var left = done(leases.timeToLive(lease, LeaseOption.builder().withAttachedKeys().build()));
    same(600L, left.getGrantedTTL());
    same(List.of("jv/leased"), left.getKeys().stream().map(Client::text).collect(Collectors.toList()));
    done(leases.revoke(lease));
    same(List.of(), found("jv/leased", GetOption.DEFAULT));
    refused(leases.revoke(lease), "requested lease not found");
    System.out.println("ok leases");
  }

  private void watches() throws Exception {
    long revision = put("jv/watch/a", "old").getHeader().getRevision();
    WatchOption option =
        WatchOption.builder().isPrefix(true).withPrevKV(true).withRevision(revision + 1).build();
    Queue<WatchResponse> responses = new Queue<>();
    Watch.Listener listener = Watch.listener(responses::onNext, responses::onError);
    try (Watch.Watcher watcher = client.getWatchClient().watch(of("jv/watch/"), option, listener)) {
      put("jv/watch/a", "new");
      put("jv/watch/b", "1");
      done(client.getKVClient().delete(of("jv/watch/a")));
      List<String> seen = new ArrayList<>();
      while (seen.size() < 3) {
        for (WatchEvent event : responses.take().getEvents()) {
          seen.add(
              event.getEventType()
                  + " " + text(event.getKeyValue().getKey())
                  + " " + text(event.getPrevKV().getValue()));
        }
      }
      same(List.of("PUT jv/watch/a old", "PUT jv/watch/b ", "DELETE jv/watch/a new"), seen);
      // Asked again and again: only a watcher that has caught up is told.
      WatchResponse progress = null;
      while (progress == null || progress.getHeader().getRevision() < revision + 3) {
        watcher.requestProgress();
        progress = responses.poll(1);
      }
      same(0, progress.getEvents().size());
    }
    System.out.println("ok watches");
  }

  private void locks() throws Exception {
    long first = done(client.getLeaseClient().grant(600)).getID();
    long second = done(client.getLeaseClient().grant(600)).getID();
    ByteSequence key = done(client.getLockClient().lock(of("jv-lock"), first)).getKey();
    var waiting = client.getLockClient().lock(of("jv-lock"), second);
    GetOption all = GetOption.builder().isPrefix(true).build();
    while (found("jv-lock/", all).size() < 2) {
      Thread.onSpinWait();
    }
    same(false, waiting.isDone());
    done(client.getLockClient().unlock(key));
    done(client.getLockClient().unlock(done(waiting).getKey()));
    done(client.getLeaseClient().revoke(first));
    done(client.getLeaseClient().revoke(second));
    System.out.println("ok locks");
  }

  private void elections() throws Exception {
    Election election = client.getElectionClient();
    ByteSequence name = of("jv-election");
    long lease = done(client.getLeaseClient().grant(600)).getID();
    var won = done(election.campaign(name, lease, of("ann")));
    same("ann", text(done(election.leader(name)).getKv().getValue()));
    Queue<LeaderResponse> observed = new Queue<>();
    election.observe(name, listener(observed));
    same("ann", text(observed.take().getKv().getValue()));
    done(election.proclaim(won.getLeader(), of("bob")));
    same("bob", text(observed.take().getKv().getValue()));
    done(election.resign(won.getLeader()));
    refused(election.leader(name), "NoLeaderException");
    done(client.getLeaseClient().revoke(lease));
    System.out.println("ok elections");
  }

  private void rest() throws Exception {
    same(MEMBERS, done(client.getClusterClient().listMember()).getMembers().size());
    var status = done(client.getMaintenanceClient().statusMember(endpoint));
    same(true, status.getVersion().startsWith("3.6."));
    ByteArrayOutputStream snapshot = new ByteArrayOutputStream();
    same((long) done(client.getMaintenanceClient().snapshot(snapshot)), (long) snapshot.size());
    same(true, snapshot.size() > 4096);
    GetOption future = GetOption.builder().withRevision(1L << 40).build();
    refused(client.getKVClient().get(of("jv/a"), future), "required revision is a future revision");
    refused(client.getAuthClient().roleList(), "not implemented: users and roles");
    System.out.println("ok rest");
  }

  private static Election.Listener listener(Queue<LeaderResponse> queue) {
    return new Election.Listener() {
      @Override
      public void onNext(LeaderResponse response) {
        queue.onNext(response);
      }

      @Override
      public void onError(Throwable error) {
        queue.onError(error);
      }

      @Override
      public void onCompleted() {}
    };
  }

  private PutResponse put(String key, String value) throws Exception {
    return done(client.getKVClient().put(of(key), of(value)));
  }

  private List<String> found(String key, GetOption option) throws Exception {
    return done(client.getKVClient().get(of(key), option)).getKvs().stream()
        .map(each -> text(each.getKey()) + "=" + text(each.getValue()))
        .collect(Collectors.toList());
  }

  private static ByteSequence of(String text) {
    return ByteSequence.from(text, UTF_8);
  }

  private static String text(ByteSequence octets) {
    return octets.toString(UTF_8);
  }

  private static <T> T done(CompletableFuture<T> future) throws Exception {
    return future.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  private static void same(Object wanted, Object got) {
    if (!wanted.equals(got)) {
      throw new AssertionError("got " + got + ", not " + wanted);
    }
  }

  private static void refused(CompletableFuture<?> future, String text) throws Exception {
    try {
      done(future);
    } catch (ExecutionException error) {
      if (error.getCause().toString().contains(text)) {
        return;
      }
      throw error;
    }
    throw new AssertionError("accepted, but must be refused with " + text);
  }

  /** What a stream has said; its failure fails whoever takes from it. */
  private static final class Queue<T> implements StreamObserver<T> {
    private final BlockingQueue<T> said = new LinkedBlockingQueue<>();
    private volatile Throwable failure;

    @Override
    public void onNext(T value) {
      said.add(value);
    }

    @Override
    public void onError(Throwable error) {
      failure = error;
    }

    @Override
    public void onCompleted() {}

    T poll(long seconds) throws InterruptedException {
      T value = said.poll(seconds, TimeUnit.SECONDS);
      if (value == null && failure != null) {
        throw new AssertionError("the stream has failed", failure);
      }
      return value;
    }

    T take() throws InterruptedException {
      T value = poll(PATIENCE_SECONDS);
      if (value == null) {
        throw new AssertionError("nothing came within " + PATIENCE_SECONDS + " s");
      }
      return value;
    }
  }
}
