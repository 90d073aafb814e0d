import { setImmediate } from 'node:timers/promises'

const ACTIONS = {
	throw: () => {
		throw new Error('The agent threw.')
	},
	throw_later: () => {
		setTimeout(() => {
			throw new Error('Nobody catches this.')
		})
		return new Promise(() => {})
	},
	reject_later: () => {
		void Promise.reject(new Error('Nobody catches this.'))
		return new Promise(() => {})
	},
	return_nothing: () => {},
	use_null: (context) => context.usage(null),
	say_five: (context) => context.output(5),
	return_cycle: () => {
		const data = {}
		data.data = data
		return { data }
	},
	return_too_much: () => ({ data: { text: 'x'.repeat(10_000_000) } }),
	block: (context) => {
		context.output(`${process.pid}\n`)
		return setImmediate().then(() => {
			for (;;);
		})
	},
	exit: () => process.exit(3),
	kill: () => process.kill(process.pid, 'SIGKILL'),
	disconnect: () => process.disconnect(),
	fill_heap: () => {
		const filled = []
		for (;;) filled.push({})
	},
	one_huge_array: () => new Array(2 ** 27).fill({}),
	flood_at_once: (context) => {
		for (let sent = 0; sent < 200_000; sent++) context.output(`${sent}`.padStart(100))
	},
	flood_for_good: async (context) => {
		for (let sent = 0; ; sent++) {
			context.output(`${sent}`.padStart(100))
			if (sent % 100 === 0) await context.drained()
		}
	},
	flood: (context) => {
		for (let sent = 0; sent < 100_000; sent++) context.output('x')
		return { data: {} }
	},
	ignore_signal: (context) => {
		context.output('deaf\n')
		return new Promise(() => {})
	},
}

/** An agent that does harm; the action of its step says which. */
export default {
	type: 'misbehaving',
	execute: async (step, context) => ACTIONS[step.action](context),
}
