"""Prints each step of each cascade once: KAFKA_URL=127.0.0.1:9092 python consume.py

Needs confluent-kafka. A finding may come twice under one id; fields, records and words that this
does not know may come one day, and are passed over.
"""

import json
import os

from confluent_kafka import Consumer

consumer = Consumer(
    {
        "bootstrap.servers": os.environ["KAFKA_URL"],
        "group.id": os.environ.get("GROUP", "my-python-consumer"),
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
    }
)
consumer.subscribe(["cascades"])
seen: set[str] = set()
try:
    while True:
        messages = consumer.consume(500, timeout=1.0)
        for message in messages:
            if message.error():
                raise SystemExit(f"Kafka: {message.error()}")
            finding = json.loads(message.value() or b"{}")
            if finding.get("type") != "cascade" or finding["finding_id"] in seen:
                continue
            seen.add(finding["finding_id"])
            print(
                finding["finding_id"],
                finding["asset"],
                finding["position_side"],
                finding["phase"],
                f"{finding['notional_usd']:.0f}",
                sep="\t",
                flush=True,
            )
        # Behind what was done with them: a crash before it brings them again.
        if messages:
            consumer.commit(asynchronous=False)
except KeyboardInterrupt:
    pass
finally:
    consumer.close()
