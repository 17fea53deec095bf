"""Every metric the process exports, in one place.

Histograms are fed once a commit group, a join or a snapshot, and by one turn in `TIMED_TURNS`: never by each operation,
of which there are tens of thousands a second.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

TIMED_TURNS = 64
"""One turn in so many is timed."""

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_TURN_SECONDS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.001, 0.005, 0.025, 0.1)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024, 4_096)


class Metrics:
    """Counters, gauges and histograms of one process. Names are prefixed with ``coscribe_``."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.operations = Counter("coscribe_operations", "Operations committed", registry=registry)
        self.duplicates = Counter("coscribe_duplicates", "Operations acknowledged again", registry=registry)
        self.groups = Counter("coscribe_commit_groups", "Commit groups on disk", registry=registry)
        self.appends_refused = Counter("coscribe_appends_refused", "Appends the fence refused", registry=registry)
        self.commits_unknown = Counter("coscribe_commits_unknown", "Commits of unknown outcome", registry=registry)
        self.errors = Counter("coscribe_errors", "Messages refused, by code", ["code"], registry=registry)
        self.connections = Gauge("coscribe_connections", "Open connections", registry=registry)
        self.workspaces = Gauge("coscribe_workspaces_loaded", "Workspaces in memory", registry=registry)
        self.lagging = Gauge("coscribe_lagging_subscriptions", "Subscriptions behind a full buffer", registry=registry)
        self.slow_consumers = Counter("coscribe_slow_consumers", "Connections closed as too slow", registry=registry)
        self.snapshots = Counter("coscribe_snapshots", "Snapshots stored", registry=registry)
        self.damaged_snapshots = Counter("coscribe_damaged_snapshots", "Snapshots passed over", registry=registry)
        self.events_lost = Counter("coscribe_access_events_lost", "Access events not written", registry=registry)
        self.database_waiting = Gauge("coscribe_database_waiting", "Jobs at or before the database", registry=registry)
        self.log_waiting = Gauge("coscribe_log_waiting", "Jobs at or before the log in PostgreSQL", registry=registry)
        self.log_connections = Gauge(
            "coscribe_log_connections", "Connections to the log in PostgreSQL", registry=registry
        )
        self.backlog = Gauge("coscribe_commit_backlog", "Operations waiting for the disk", registry=registry)
        self.password_waiting = Gauge("coscribe_password_waiting", "Passwords waiting for a thread", registry=registry)
        self.password_hashes = Counter("coscribe_password_hashes", "Passwords hashed or checked", registry=registry)
        self.password_refused = Counter("coscribe_password_refused", "Refused, as too many wait", registry=registry)
        self.throttled = Counter("coscribe_throttled", "Requests told to wait, by what", ["by"], registry=registry)
        self.throttle_keys = Gauge("coscribe_throttle_keys", "Keys remembered, by table", ["table"], registry=registry)
        self.external_attempts_dropped = Counter(
            "coscribe_external_attempts_dropped", "Sign-ins elsewhere pushed out", registry=registry
        )
        self.mails_waiting = Gauge("coscribe_mails_waiting", "Mails on their way", registry=registry)
        self.mails_sent = Counter("coscribe_mails_sent", "Mails handed on", registry=registry)
        self.mails_failed = Counter("coscribe_mails_failed", "Mails given up after the last try", registry=registry)
        self.mails_dropped = Counter("coscribe_mails_dropped", "Mails a full or ending outbox lost", registry=registry)
        self.strangers = Gauge("coscribe_connections_unauthenticated", "Open before hello", registry=registry)
        self.shed = Counter(
            "coscribe_connections_shed", "Refused or closed to protect the others, by why", ["why"], registry=registry
        )
        self.housekeeping_failed = Counter(
            "coscribe_housekeeping_failed", "Unexpected errors while looking after what is open", registry=registry
        )
        self.budget_keys = Gauge("coscribe_budget_keys", "Accounts whose rate is remembered", registry=registry)
        self.over_budget = Counter("coscribe_over_budget", "Messages over a rate, by whose", ["of"], registry=registry)
        self.over_quota = Counter(
            "coscribe_over_quota", "Edits refused as too much, by what", ["of"], registry=registry
        )
        self.withheld = Gauge(
            "coscribe_withheld", "Workspaces of which it is remembered what was redacted", registry=registry
        )
        self.withheld_refused = Counter(
            "coscribe_withheld_refused", "Edits refused as they would bring back what was redacted", registry=registry
        )
        self.long_logs = Counter("coscribe_long_logs", "Documents whose log grew past the warning", registry=registry)
        self.virtual_connections = Gauge(
            "coscribe_virtual_connections", "Sockets of other instances with files here", registry=registry
        )
        self.rejoins_asked = Counter(
            "coscribe_rejoins_asked", "Files of sockets here that lost their owner", registry=registry
        )
        self.access_unheard = Counter(
            "coscribe_access_unheard", "Instances that had not applied a change of rights in time", registry=registry
        )
        self.links = Gauge("coscribe_links", "Other instances that this one is linked with", registry=registry)
        self.link_waiting = Gauge("coscribe_link_waiting_bytes", "Waiting to go out on links", registry=registry)
        self.link_ends = Counter("coscribe_link_ends", "Links that have ended, by why", ["why"], registry=registry)
        self.bus_refused = Counter("coscribe_bus_refused", "Messages that the bus could not take", registry=registry)

        self.commit_seconds = Histogram(
            "coscribe_commit_seconds", "From append to durable, per group", buckets=_SECONDS, registry=registry
        )
        self.group_size = Histogram(
            "coscribe_commit_group_size", "Operations in a commit group", buckets=_SIZES, registry=registry
        )
        self.turn_seconds = Histogram(
            "coscribe_turn_seconds", "Turns, one in 64 of them", buckets=_TURN_SECONDS, registry=registry
        )
        self.join_seconds = Histogram(
            "coscribe_join_seconds", "From join to the text on its way", buckets=_SECONDS, registry=registry
        )
        self.snapshot_seconds = Histogram(
            "coscribe_snapshot_seconds", "Snapshots being stored", buckets=_SECONDS, registry=registry
        )
        self.snapshots_saving = Gauge("coscribe_snapshots_saving", "Snapshots on their way to disk", registry=registry)
        self.snapshots_failed = Counter("coscribe_snapshots_failed", "Snapshots not stored", registry=registry)
        self.last_cursors_waiting = Gauge(
            "coscribe_last_cursors_waiting", "Carets to be kept, not written yet", registry=registry
        )
        self.references = Gauge("coscribe_references", "Users whose reference in the log is known", registry=registry)
        self.ready = Gauge("coscribe_ready", "1 where /readyz says so", registry=registry)
        self.disk_free = Gauge("coscribe_disk_free_bytes", "Room on the disk of the data folder", registry=registry)
        self.database_bytes = Gauge("coscribe_database_bytes", "Size of the database", registry=registry)
        self.wal_bytes = Gauge("coscribe_wal_bytes", "Size of its write-ahead log", registry=registry)
        ProcessCollector(namespace="coscribe", registry=registry)
        self.segments = Counter("coscribe_segments", "Closed parts of logs compressed", registry=registry)
        self.segment_bytes = Counter(
            "coscribe_segment_bytes", "Bytes of them, as rows and as segments", ["as"], registry=registry
        )
        self.segments_failed = Counter("coscribe_segments_failed", "Closed parts left as they are", registry=registry)
        self.segments_waiting = Gauge("coscribe_segments_waiting", "Logs to look for closed parts", registry=registry)
        self.segments_unpacked = Counter("coscribe_segments_unpacked", "Segments read and unpacked", registry=registry)
        self.searches = Gauge("coscribe_searches", "Searches in files that run or wait", registry=registry)
        self.past_trees = Gauge("coscribe_past_trees", "Trees of the past that are kept", registry=registry)
        self.checkpoints = Counter("coscribe_checkpoints", "Checkpoints put before pruned logs", registry=registry)
        self.audit_checkpoints = Counter("coscribe_audit_checkpoints", "Audit checkpoints signed", registry=registry)
        self.pruned_entries = Counter("coscribe_pruned_entries", "Entries of logs deleted", registry=registry)
        self.prunings_failed = Counter("coscribe_prunings_failed", "Old parts left as they are", registry=registry)
        self.workspace_bytes = Gauge(
            "coscribe_workspace_bytes", "Bytes of texts and windows in memory, about", registry=registry
        )
        self.workspaces_evicted = Counter(
            "coscribe_workspaces_evicted", "Idle workspaces let go to make room", registry=registry
        )
        self.working_trees = Gauge("coscribe_working_trees", "Workspaces that are files on a disk", registry=registry)
        self.working_tree_pass = Histogram(
            "coscribe_working_tree_pass_seconds",
            "How long a pass over a working tree took, both directions",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=registry,
        )
        self.working_tree_troubles = Counter(
            "coscribe_working_tree_troubles",
            "Passes over a working tree that failed and were tried again",
            registry=registry,
        )
        self.working_tree_notices = Counter(
            "coscribe_working_tree_notices",
            "Writes to a working tree that were not taken in",
            ["why"],
            registry=registry,
        )
        self.git_ended = Counter(
            "coscribe_git_ended", "Git commands that were ended at a limit", ["why"], registry=registry
        )
        self.watches = Gauge("coscribe_watches", "Workspaces watched, by one each", registry=registry)
        self.watches_ended = Counter("coscribe_watches_ended", "Watches that were ended", ["why"], registry=registry)
        self.blobs = Counter("coscribe_blobs", "Contents that are no text, written", registry=registry)
        self.blob_bytes = Counter("coscribe_blob_bytes", "Bytes of them", registry=registry)
        self.unreadable_blobs = Counter(
            "coscribe_unreadable_blobs", "Blobs that were asked for and are not there whole", ["as"], registry=registry
        )
        self.imports = Counter("coscribe_imports", "Imports, by what became of them", ["fate"], registry=registry)
        self.imports_refused = Counter(
            "coscribe_imports_refused", "Imports of what cannot be part of a project", ["why"], registry=registry
        )
        self.relay_asking = Gauge(
            "coscribe_relay_asking", "Requests that other instances answer, by kind", ["kind"], registry=registry
        )
        self.relay_answering = Gauge(
            "coscribe_relay_answering", "Requests that came to other instances, by kind", ["kind"], registry=registry
        )
        self.relay_ended = Counter(
            "coscribe_relay_ended",
            "Attempts to have a request answered elsewhere, by their end",
            ["how"],
            registry=registry,
        )
        self.relay_stalled = Counter(
            "coscribe_relay_stalled", "Relayed bodies given up as nobody took them", registry=registry
        )
        self.homes = Gauge("coscribe_homes", "Files whose workspace is remembered for routing", registry=registry)
        self.spans = Counter(
            "coscribe_spans", "Spans for the collector, by what became of them", ["fate"], registry=registry
        )
        self.instances = Gauge("coscribe_instances", "Instances of the cluster that live", registry=registry)
        self.owned = Gauge("coscribe_owned_shards", "Shards and pinned workspaces owned here", registry=registry)
        self.beats_failed = Counter("coscribe_beats_failed", "Tries to renew the lease that failed", registry=registry)
        self.fenced = Counter("coscribe_fenced", "Times it gave up by itself what it owned", registry=registry)
        self.overtaken = Counter(
            "coscribe_overtaken", "Workspaces let go as another one had written behind all known of", registry=registry
        )
        self.handed_over = Counter("coscribe_handed_over", "Shards handed over to other instances", registry=registry)
        self.hand_over_seconds = Histogram(
            "coscribe_hand_over_seconds", "Some shards being handed over", buckets=_SECONDS, registry=registry
        )


metrics = Metrics()
