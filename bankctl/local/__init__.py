"""The local stack: mongod, Kafka, the gateway and the three daemons as processes of this machine."""
