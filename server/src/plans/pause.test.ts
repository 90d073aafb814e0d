import { describe } from 'vitest'
import { pauseSuite } from '#test/suites/pause.suite.js'

describe('pause', () => pauseSuite(25))
