"""What many pools cost on the real Pulumi CLI, beside a naive provider: `make bench` writes docs/performance.md.

"as fast as one, with few calls" is a promise that only numbers can keep, and numbers are worth something
only beside others of the same run on the same machine.

`plan`, `evidence`, `figures`, `imports`, `measures` and `page` are pure and tested by `make test`; `runs`, `start`,
`events` and `processes` do the measuring, and `plots` draws. Results are in `results.json`.
"""
