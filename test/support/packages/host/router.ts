import { initTRPC } from '@trpc/server'
import { planstream } from './mounted.js'

const t = initTRPC.create()
export const router = t.router({ hello: t.procedure.query(() => 'hello'), planstream: planstream.router })
export const planRouter = planstream.router
export type AppRouter = typeof router
export const caller = t.createCallerFactory(router)({})
export const list = () => caller.planstream.plans.list({})
