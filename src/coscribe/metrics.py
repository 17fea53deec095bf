"""Every metric the process exports, in one place."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """Counters and gauges of one process. Names are prefixed with ``coscribe_``."""

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


metrics = Metrics()
