import { describe } from 'vitest'
import { decideSuite } from '#test/suites/decide.suite.js'

describe('decide', () => decideSuite({ plans: 20, sequences: 60 }))
