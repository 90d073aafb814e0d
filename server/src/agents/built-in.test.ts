import { describe, expect, it } from 'vitest'
import { createBuiltInAgents } from './built-in.js'

const types = (scripted: boolean) =>
	createBuiltInAgents({ research: true, scripted, dataDirectory: 'data', defaultCorpus: 'docs', rootsOf: () => [] }).map(
		(agent) => agent.type,
	)

describe('builtInAgents', () => {
	it('returns the agents of corpus research, and the scripted agent only when it is enabled', () => {
		const research = ['inventory', 'index', 'retrieve', 'extract', 'crosscheck', 'report'].map((kind) => `corpus.${kind}`)
		expect(types(false)).toEqual(research)
		expect(types(true)).toEqual([...research, 'scripted'])
	})
})
