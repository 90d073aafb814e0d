import { createTRPCClient, httpLink } from '@trpc/client'
import type { AppRouter } from './router.js'

const trpc = createTRPCClient<AppRouter>({ links: [httpLink({ url: 'http://localhost:3000/trpc' })] })
export const words: Promise<string> = trpc.hello.query()
export const status = trpc.planstream.plans.get
	.query({ plan_id: 'p' })
	.then((state): 'completed' | undefined => (state.status === 'completed' ? state.status : undefined))

// @ts-expect-error a plan is named by its id
export const unnamed = () => trpc.planstream.plans.get.query({ plan: 'p' })
