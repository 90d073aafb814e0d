import { describe } from 'vitest'
import { decideSuite } from '#test/suites/decide.suite.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)

describe('decide', () => decideSuite({ plans: 200 * SCALE, sequences: 2000 * SCALE }))
