import { describe } from 'vitest'
import { pauseSuite } from '#test/suites/pause.suite.js'

describe('pause', () => pauseSuite(200 * Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)))
