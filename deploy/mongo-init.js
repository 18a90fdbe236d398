// Run by compose.yaml each time; what is there already is left alone, passwords are brought up to date.
const hosts = ["mongo1:27017", "mongo2:27017", "mongo3:27017"];
const root = `root:${encodeURIComponent(process.env.MONGO_ROOT_PASSWORD)}`;

const first = new Mongo(`mongodb://${root}@${hosts[0]}/admin?directConnection=true`).getDB("admin");
try {
  first.adminCommand({ replSetGetStatus: 1 });
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  first.adminCommand({
    replSetInitiate: { _id: "rs0", members: hosts.map((host, index) => ({ _id: index, host })) },
  });
}

const admin = new Mongo(
  `mongodb://${root}@${hosts.join(",")}/admin?replicaSet=rs0&serverSelectionTimeoutMS=60000`,
).getDB("admin");
// What each daemon changes and removes; all else it may only read and insert, above all the journal, the
// checkpoints and the audit. The same as daemons/contracts/mongo_accounts.py.
const changed = {
  "user_api": [
    "access_changes",
    "access_position",
    "api_keys",
    "approvals",
    "audit_head",
    "devices",
    "leases",
    "mail_requests",
    "owed_event_numbers",
    "owed_events",
    "owed_messages",
    "readings",
    "refresh_tokens",
    "refused_registrations",
    "second_factors",
    "sessions",
    "sign_in_attempts",
    "users"
  ],
  "banking_api": [
    "accounts",
    "approvals",
    "audit_head",
    "bank",
    "leases",
    "lost_events",
    "positions",
    "proven_states",
    "readings"
  ],
  "notifier": [
    "audit_head",
    "dead_letters",
    "deliveries",
    "events",
    "intake",
    "keys",
    "leases",
    "notifications",
    "preferences",
    "readings",
    "turns",
    "webhooks"
  ]
};
const everywhere = [
  "collStats", "createCollection", "createIndex", "find", "insert", "listCollections", "listIndexes",
];
for (const daemon of Object.keys(changed)) {
  const database = admin.getSiblingDB(daemon);
  const privileges = [
    { resource: { db: daemon, collection: "" }, actions: everywhere },
    ...changed[daemon].map((name) => ({
      resource: { db: daemon, collection: name },
      actions: ["remove", "update"],
    })),
  ];
  if (database.getRole("daemon")) database.updateRole("daemon", { privileges, roles: [] });
  else database.createRole({ role: "daemon", privileges, roles: [] });
  const access = {
    pwd: process.env[`${daemon.toUpperCase()}_PASSWORD`],
    // Its own database and nothing else.
    roles: [{ role: "daemon", db: daemon }],
  };
  if (database.getUser(daemon)) database.updateUser(daemon, access);
  else database.createUser({ user: daemon, ...access });
}
