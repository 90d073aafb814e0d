import { createPlanstreamClient } from '@planstream/client'

/** The means by which a page follows a plan. */
export type Follower = 'EventSource' | 'auto' | 'websocket' | 'sse'

/** The events of a plan that a page has seen. */
export interface FollowedPlan {
	readonly seqs: number[]
	/** The page will send no further requests. */
	over: boolean
	fault: string | null
}

declare global {
	interface Window {
		follow(follower: Follower, url: string, plan_id: string): void
		followed: FollowedPlan
	}
}

/** Exposes what this page follows, so that the test can inspect it. */
window.follow = (follower, url, plan_id) => {
	const followed: FollowedPlan = { seqs: [], over: false, fault: null }
	window.followed = followed
	if (follower === 'EventSource') {
		const source = new EventSource(`${url}/api/v1/streaming/plans/${plan_id}/events`)
		source.onmessage = ({ data }) => followed.seqs.push((JSON.parse(String(data)) as { seq: number }).seq)
		source.onerror = () => {
			followed.over = source.readyState === EventSource.CLOSED
		}
		return
	}
	followBySdk(follower, url, plan_id, followed).then(
		() => {
			followed.over = true
		},
		(error: unknown) => {
			followed.fault = String(error)
		},
	)
}

async function followBySdk(
	transport: Exclude<Follower, 'EventSource'>,
	url: string,
	plan_id: string,
	{ seqs }: FollowedPlan,
): Promise<void> {
	const planstream = createPlanstreamClient({ url, transport, backoff: { maxMs: 500 } })
	for await (const { seq } of planstream.plans.events({ plan_id })) seqs.push(seq)
	await planstream.close()
}
