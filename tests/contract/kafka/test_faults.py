"""What may go wrong between the clients and the simulated broker, in virtual time."""

import asyncio

import pytest
from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    RequestTimedOutError,
)

from chassis.kafka import Cluster
from chassis.kafka import clients as kafka
from simulation.faults import Fault
from tests.contract.kafka import broken
from tests.contract.kafka.broken import HERE, THERE, TOPIC, a_broker, a_member, a_producer
from tests.contract.kafka.virtual import run


def test_a_send_is_tried_again_and_is_there_once() -> None:
    async def main() -> None:
        async with a_broker() as (broker, faults), a_producer() as producer:
            faults.next("produce", broken.BROKEN_OFF, broken.REPLY_BROKEN_OFF, broken.BROKEN_OFF)
            assert await broken.send(producer, b"1") == 0
            assert await broken.send(producer, b"2") == 1
            assert broken.values_of(broker) == [b"1", b"2"]

    run(main)


@pytest.mark.parametrize(
    ("fault", "there"), [(broken.REQUEST_LOST, []), (broken.REPLY_LOST, [b"2"])]
)
def test_a_failed_send_ends_its_producer_for_the_partition(
    fault: Fault, there: list[bytes]
) -> None:
    async def main() -> None:
        async with a_broker() as (broker, faults), a_producer() as producer:
            await broken.send(producer, b"1")
            faults.next("produce", fault)
            with pytest.raises(KafkaTimeoutError):
                await broken.send(producer, b"2")
            for _ in range(2):
                with pytest.raises(OutOfOrderSequenceNumber):
                    await broken.send(producer, b"2")
            await broken.send(producer, b"3", partition=1)
            async with a_producer() as another:
                await broken.send(another, b"2")
            assert broken.values_of(broker) == [b"1", *there, b"2"]

    run(main)


def test_a_send_that_its_sender_gave_up_may_still_arrive() -> None:
    async def main() -> None:
        async with a_broker() as (broker, faults):
            async with a_producer() as producer:
                faults.next("produce", Fault(delay_s=18))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(15):
                        await broken.send(producer, b"late")
            async with a_producer() as another:
                await broken.send(another, b"late", b"next")
            await asyncio.sleep(5)
            assert broken.values_of(broker) == [b"late", b"next", b"late"]

    run(main)


def test_what_is_fetched_late_comes_late() -> None:
    async def main() -> None:
        async with a_broker() as (_, faults), a_producer() as producer:
            consumer = await a_member()
            await broken.polled(consumer, consumer.assignment)
            faults.next("fetch", Fault(delay_s=5), partition=0)
            await broken.send(producer, b"first")
            await broken.send(producer, b"second", partition=1)
            came: list[bytes] = []
            while len(came) < 2:
                came += [
                    r.value for b in (await consumer.getmany(timeout_ms=200)).values() for r in b
                ]
            assert came == [b"second", b"first"]
            assert asyncio.get_running_loop().time() > 5

    run(main)


def test_an_error_of_a_poll_takes_the_others_records_with_it() -> None:
    """The position is past them: who goes on with this client has skipped them."""

    async def main() -> None:
        async with a_broker() as (_, faults), a_producer() as producer:
            await broken.send(producer, b"lost")
            await broken.send(producer, b"corrupt", partition=1)
            faults.next("fetch", Fault(error=CorruptRecordException()), partition=1)
            consumer = await a_member()
            with pytest.raises(CorruptRecordException):
                await broken.polled(consumer, lambda: False)
            assert await consumer.position(HERE) == 1
            assert await consumer.position(THERE) == 0
            again = await a_member("another")
            assert await broken.polled(again, again.assignment) == [b"lost", b"corrupt"]

    run(main)


@pytest.mark.parametrize(("fault", "kept"), [(broken.REQUEST_LOST, None), (broken.REPLY_LOST, 1)])
def test_whether_a_commit_that_failed_counts_is_unknown(fault: Fault, kept: int | None) -> None:
    async def main() -> None:
        async with a_broker() as (_, faults), a_producer() as producer:
            await broken.send(producer, b"1")
            consumer = await a_member()
            await broken.polled(consumer, consumer.assignment)
            faults.next("commit", fault)
            with pytest.raises(KafkaTimeoutError):
                await consumer.commit({HERE: 1})
            assert await consumer.committed(HERE) == kept
            faults.next("commit", broken.BROKEN_OFF, broken.REPLY_BROKEN_OFF)
            await consumer.commit({HERE: 1})
            assert await consumer.committed(HERE) == 1

    run(main)


def test_commits_of_one_client_keep_their_order() -> None:
    async def main() -> None:
        async with a_broker() as (_, faults), a_producer() as producer:
            await broken.send(producer, b"1", b"2")
            consumer = await a_member()
            await broken.polled(consumer, consumer.assignment)
            faults.next("commit", Fault(delay_s=6))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.commit({HERE: 1})
            await consumer.commit({HERE: 2})
            assert await consumer.committed(HERE) == 2

    run(main)


def test_a_broker_that_is_down_refuses_and_keeps_what_it_has() -> None:
    async def main() -> None:
        async with a_broker() as (broker, _), a_producer() as producer:
            consumer = await a_member()
            await broken.send(producer, b"1")
            await broken.polled(consumer, consumer.assignment)
            await consumer.commit({HERE: 1})
            broker.down = True
            with pytest.raises(KafkaConnectionError, match="bootstrap"):
                await kafka.make_consumer(Cluster("simulated"), "group").start()
            with pytest.raises(KafkaConnectionError, match="bootstrap"):
                await kafka.ensure_topics(Cluster("simulated"), {})
            sending = asyncio.create_task(broken.send(producer, b"2"))
            await asyncio.sleep(60)
            assert not sending.done()
            broker.down = False
            assert await sending == 1
            assert await consumer.committed(HERE) == 1
            found = await consumer.getmany(timeout_ms=200)
            assert [record.value for record in found[HERE]] == [b"2"]
            assert broker.groups["group"].generation == 1

    run(main)


def test_a_restart_breaks_requests_off() -> None:
    async def main() -> None:
        async with a_broker() as (broker, faults), a_producer() as producer:
            faults.next("produce", Fault(delay_s=10))
            sending = asyncio.create_task(broken.send(producer, b"1"))
            await asyncio.sleep(1)
            broker.down = True
            broker.down = False
            assert await sending == 0
            assert asyncio.get_running_loop().time() < 2
            await asyncio.sleep(20)
            assert broken.values_of(broker) == [b"1"]

    run(main)


def test_a_suspended_broker_holds_requests_up() -> None:
    async def main() -> None:
        async with a_broker() as (broker, _), a_producer() as producer:
            await broken.send(producer, b"0")
            broker.suspend()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(15):
                    await broken.send(producer, b"1")
            await kafka.stop_within(producer, 2)
            loop = asyncio.get_running_loop()
            before = loop.time()
            with pytest.raises(KafkaConnectionError, match="bootstrap"):
                await kafka.await_topics(Cluster("simulated"), (TOPIC,), asyncio.Event())
            assert loop.time() - before == pytest.approx(20)
            assert broken.values_of(broker) == [b"0"]
            broker.resume()
            assert broken.values_of(broker) == [b"0", b"1"]

    run(main)


def test_a_request_in_hand_is_given_up_after_its_time() -> None:
    async def main() -> None:
        async with a_broker() as (_, faults):
            admin = vars(kafka)["AIOKafkaAdminClient"](
                bootstrap_servers="simulated", request_timeout_ms=500
            )
            await admin.start()
            faults.next("metadata", Fault(reply_delay_s=1))
            with pytest.raises(RequestTimedOutError):
                await admin.list_topics()
            assert await admin.list_topics() == [TOPIC]

    run(main)
