"""`undertow run`: in one process a source, the pipeline, chDB, and an SQL endpoint on it.

    source ──> pipeline.step ──> rows ──(writer thread)──> chDB <── SQL endpoint
                  │         └──> alerts ──(outbox)──> webhooks
                  └──> checkpoint: queued behind the rows, so written after them

What a kill leaves is the last checkpoint and rows past it. The next start deletes those
rows, opens the source again and goes on behind the checkpoint's last item.
"""
