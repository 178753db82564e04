"""`undertow detect`: Faust agents around the pure core, and what Faust lacks for them.

There is no setting for these, so they rest on private names. `tests/agents/test_faust_names.py`
reads this table, and fails with the name when a release of theirs has changed one, or when we
use one more.

    theirs                                                            ours
    faust.worker.Worker._schedule_shutdown(signal)                    a stop has a bound
    faust.app.base.App._new_transport()                               the transport below
    faust.tables.base.Collection._changelog_deleting                  windows outlive a week
    faust.stores.memory.Store._key_partition                          rows written by partition
    faust.tables.manager.TableManager._recovery                       changelogs by librdkafka
    faust.tables.recovery.Recovery._generation_id                     a rebalance ends a read
    faust.tables.recovery.Recovery._seek_offsets(consumer, tps, offsets, title)   rows before Faust
    faust.tables.recovery.Recovery._wait(coro, timeout)               a long read is not cut off

and of `faust.transport.drivers.aiokafka`

    AIOKafkaConsumerThread._create_worker_consumer(transport)         committed records only
    AIOKafkaConsumerThread._ensure_consumer()                         seeks past what is fetched
    AIOKafkaConsumerThread._fetch_records(consumer, active_partitions, timeout, max_records)
                                                                      a stale fetch is taken back
    AIOKafkaConsumerThread._seek_wait(consumer, partitions)           a seek makes fetches stale
    AIOKafkaConsumerThread._commit(offsets)                           a commit has a bound
    Consumer._new_consumer_thread()                                   the thread above
    Consumer._getmany(active_partitions, timeout)                     partitions held, gaps known
    Consumer._commit(offsets)                                         we commit, behind effects
    Consumer._read_offset                                             nothing read again is dropped
    Producer._ensure_producer()                                       a topic's leader stays known
    aiokafka.consumer.consumer.AIOKafkaConsumer._isolation_level      committed records only
"""
