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
for (const daemon of ["user_api", "banking_api", "notifier"]) {
  const database = admin.getSiblingDB(daemon);
  const access = {
    pwd: process.env[`${daemon.toUpperCase()}_PASSWORD`],
    // Its own database and nothing else.
    roles: [{ role: "readWrite", db: daemon }],
  };
  if (database.getUser(daemon)) database.updateUser(daemon, access);
  else database.createUser({ user: daemon, ...access });
}
